"""Features of a sample from its tokens."""

from typing import Literal

import torch
from torch import Tensor

Pooling = Literal["mean", "cls"]  # of a model
Pool = Literal["mean", "cls", "concat"]  # of what probes read


def pool(tokens: Tensor, is_token: Tensor, pooling: Pooling = "mean") -> Tensor:
    """(B, D) the mean of tokens (B, T, D), or with "cls" the first one.

    is_token: (B, T) bool, False for padding.
    """
    if pooling == "cls":
        return tokens[:, 0]
    weight = is_token.to(tokens.dtype)[:, :, None]
    # Selected, not multiplied by 0: padding may hold anything.
    total = torch.where(is_token[:, :, None], tokens, 0).sum(dim=1)
    return total / weight.sum(dim=1).clamp(min=1)


def as_token(features: Tensor) -> tuple[Tensor, Tensor]:
    """Features (B, D) as a single token: (tokens (B, 1, D), is_token (B, 1), all True)."""
    is_token = torch.ones(len(features), 1, dtype=torch.bool, device=features.device)
    return features[:, None], is_token
