"""Losses over masked positions as (sum, count).

The mean needs the count over all devices and micro-batches, which only the engine has.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LossSum:
    """Sum of the losses of masked positions, and their number.

    Add totals and counts over batches and devices, and divide once at the end.
    """

    total: Tensor  # () float
    count: Tensor  # () float

    @property
    def mean(self) -> Tensor:
        """Mean loss per masked position."""
        return self.total / self.count


def masked_squared_error(
    predictions: Tensor, targets: Tensor, weight: Tensor | None = None
) -> LossSum:
    """Squared error, averaged within a position and summed over masked positions.

    Args:
        predictions: (B, M, P), P values at each of M masked positions.
        targets: (B, M, P).
        weight: (B, M), 0 for padding; None for 1 everywhere.
    """
    errors = predictions.to(targets.dtype) - targets
    per_position = errors.square().mean(dim=-1)
    if weight is None:
        count = per_position.new_full((), float(per_position.numel()))
        return LossSum(per_position.sum(), count)
    weight = weight.to(per_position.dtype)
    return LossSum(torch.sum(per_position * weight), weight.sum())
