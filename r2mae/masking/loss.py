"""Losses over hidden positions, always as (sum, count): only the engine knows the global count."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LossSum:
    """A sum of per-position losses and how many positions it holds; add across batches, divide once."""

    total: Tensor  # () float
    count: Tensor  # () float

    @property
    def mean(self) -> Tensor:
        """Loss a hidden position."""
        return self.total / self.count


def masked_squared_error(
    predictions: Tensor, targets: Tensor, weight: Tensor | None = None
) -> LossSum:
    """Squared error, averaged over the values of a position, summed over hidden positions.

    Args:
        predictions: (B, M, P), values of M hidden positions.
        targets: (B, M, P).
        weight: (B, M), 0 for padding; None means all count.
    """
    per_position = (predictions.to(targets.dtype) - targets).square().mean(dim=-1)
    if weight is None:
        count = per_position.new_full((), float(per_position.numel()))
        return LossSum(per_position.sum(), count)
    weight = weight.to(per_position.dtype)
    return LossSum(torch.sum(per_position * weight), weight.sum())
