"""Cross-entropy over a vocabulary in chunks, so that [tokens x vocabulary] never exists.

Gradients are made in forward, while a chunk's logits are there: three products a chunk in all, as without chunks.

Shapes: M positions, D features, V tokens of the vocabulary.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

# Logits that exist at a time: 32 MiB on CPUs, where caches are small, 512 MiB on GPUs, where launches cost.
_CPU_LOGITS, _GPU_LOGITS = 1 << 23, 1 << 27


def vocabulary_loss(
    features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor
) -> Tensor:
    """Summed cross-entropy () of features (M, D) against targets (M,), by weight (V, D) and bias (V,).

    Softmax and sum run in float32, or in float64 where features are.
    """
    if torch.is_grad_enabled():
        loss: Tensor = _ChunkedLoss.apply(features, weight, bias, targets)
        return loss
    return sum(
        (
            F.cross_entropy(logits, wanted, reduction="sum")
            for logits, wanted in _chunks(features, weight, bias, targets)
        ),
        torch.zeros((), dtype=_wide(features), device=features.device),
    )


def vocabulary_top(
    features: Tensor, weight: Tensor, bias: Tensor | None, count: int = 1
) -> tuple[Tensor, Tensor]:
    """(probabilities, tokens), both (M, count): the likeliest tokens at each position."""
    nothing = torch.zeros(len(features), dtype=torch.int64, device=features.device)
    found = [
        logits.softmax(dim=1).topk(count)
        for logits, _ in _chunks(features, weight, bias, nothing)
    ]
    if not found:
        return features.new_zeros(0, count), nothing.new_zeros(0, count)
    return torch.cat([top.values for top in found]), torch.cat(
        [top.indices for top in found]
    )


def _wide(features: Tensor) -> torch.dtype:
    return torch.float64 if features.dtype == torch.float64 else torch.float32


def _chunk_size(features: Tensor, vocabulary: int) -> int:
    return max(
        1, (_CPU_LOGITS if features.device.type == "cpu" else _GPU_LOGITS) // vocabulary
    )


def _chunks(
    features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor
) -> Any:
    """(logits (m, V), targets (m,)) of a chunk at a time."""
    size = _chunk_size(features, len(weight))
    for part, wanted in zip(features.split(size), targets.split(size), strict=True):
        yield F.linear(part, weight, bias).to(_wide(features)), wanted


class _ChunkedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor
    ) -> Tensor:
        total = torch.zeros((), dtype=_wide(features), device=features.device)
        grad_features = torch.empty_like(features)
        grad_weight, grad_bias = (
            torch.zeros_like(weight),
            None if bias is None else torch.zeros_like(bias),
        )
        start = 0
        for logits, wanted in _chunks(features, weight, bias, targets):
            part = features[start : start + len(wanted)]
            rows = torch.arange(len(wanted), device=features.device)
            log_sums = logits.logsumexp(dim=1, keepdim=True)
            total += (log_sums[:, 0] - logits[rows, wanted]).sum()
            errors = logits.sub_(log_sums).exp_()  # softmax, in place
            errors[rows, wanted] -= 1
            grad_features[start : start + len(wanted)] = errors.to(
                part.dtype
            ) @ weight.to(part.dtype)
            if part.dtype == grad_weight.dtype and not torch.is_autocast_enabled(
                part.device.type
            ):
                grad_weight.addmm_(errors.T, part)
            else:  # autocast lowers products, but none in place
                grad_weight += errors.to(part.dtype).T @ part
            if grad_bias is not None:
                grad_bias += errors.sum(dim=0)
            start += len(wanted)
        ctx.save_for_backward(
            grad_features, grad_weight, *(() if grad_bias is None else (grad_bias,))
        )
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        grad_features, grad_weight, *grad_bias = ctx.saved_tensors
        scaled = [
            part * gradient.to(part.dtype)
            for part in (grad_features, grad_weight, *grad_bias)
        ]
        return scaled[0], scaled[1], scaled[2] if grad_bias else None, None
