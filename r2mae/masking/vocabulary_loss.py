"""Chunked cross-entropy: the logits [positions x vocabulary] are never all in memory.

Gradients are computed in the forward pass, while the logits of a chunk exist. That takes
three matrix products per chunk, as many as without chunks.

Shapes: M positions (m in a chunk), D features, V tokens of the vocabulary.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's convention
from torch import Tensor

# Logits in memory at a time: 32 MiB on CPUs, whose caches are small, 512 MiB on GPUs,
# where kernel launches cost.
_CPU_LOGITS, _GPU_LOGITS = 1 << 23, 1 << 27


def vocabulary_loss(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    target_weights: Tensor | None = None,
) -> Tensor:
    """Summed cross-entropy () of a linear classifier over the vocabulary.

    Softmax and sum run in float32, or in float64 for features of float64.

    Args:
        features: (M, D).
        weight: (V, D).
        bias: (V,) or None.
        targets: (M,) int64, the correct tokens.
        target_weights: (M,) weights in the sum; None for 1.
    """
    if torch.is_grad_enabled():
        loss: Tensor = _ChunkedLoss.apply(
            features, weight, bias, targets, target_weights
        )
        return loss
    losses = [
        F.cross_entropy(logits, chunk_targets, reduction="none")
        for logits, chunk_targets in _chunks(features, weight, bias, targets)
    ]
    if not losses:
        return torch.zeros((), dtype=_loss_dtype(features), device=features.device)
    each = torch.cat(losses)
    return each.sum() if target_weights is None else (each * target_weights).sum()


def vocabulary_top(
    features: Tensor, weight: Tensor, bias: Tensor | None, count: int = 1
) -> tuple[Tensor, Tensor]:
    """(probabilities, tokens), both (M, count): the most likely tokens, best first."""
    no_targets = torch.zeros(len(features), dtype=torch.int64, device=features.device)
    tops = [
        logits.softmax(dim=1).topk(count)
        for logits, _ in _chunks(features, weight, bias, no_targets)
    ]
    if not tops:
        return features.new_zeros(0, count), no_targets.new_zeros(0, count)
    probabilities = torch.cat([top.values for top in tops])
    return probabilities, torch.cat([top.indices for top in tops])


def _loss_dtype(features: Tensor) -> torch.dtype:
    return torch.float64 if features.dtype == torch.float64 else torch.float32


def _chunk_size(features: Tensor, vocabulary: int) -> int:
    num_logits = _CPU_LOGITS if features.device.type == "cpu" else _GPU_LOGITS
    return max(1, num_logits // vocabulary)


def _chunks(
    features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor
) -> Any:
    """(logits (m, V), targets (m,)) of each chunk."""
    size = _chunk_size(features, len(weight))
    pairs = zip(features.split(size), targets.split(size), strict=True)
    for part, chunk_targets in pairs:
        yield F.linear(part, weight, bias).to(_loss_dtype(features)), chunk_targets


class _ChunkedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        target_weights: Tensor | None,
    ) -> Tensor:
        total = torch.zeros((), dtype=_loss_dtype(features), device=features.device)
        grad_features = torch.empty_like(features)
        grad_weight = torch.zeros_like(weight)
        grad_bias = None if bias is None else torch.zeros_like(bias)
        start = 0
        for logits, chunk_targets in _chunks(features, weight, bias, targets):
            part = features[start : start + len(chunk_targets)]
            rows = torch.arange(len(chunk_targets), device=features.device)
            log_sums = logits.logsumexp(dim=1, keepdim=True)
            losses = log_sums[:, 0] - logits[rows, chunk_targets]
            # Softmax in place, minus the one-hot targets: the gradient of the logits.
            errors = logits.sub_(log_sums).exp_()
            errors[rows, chunk_targets] -= 1
            if target_weights is not None:
                chunk_weights = target_weights[start : start + len(chunk_targets)]
                losses = losses * chunk_weights
                errors.mul_(chunk_weights[:, None])
            total += losses.sum()
            grad_part = errors.to(part.dtype) @ weight.to(part.dtype)
            grad_features[start : start + len(chunk_targets)] = grad_part
            is_autocast = torch.is_autocast_enabled(part.device.type)
            if part.dtype == grad_weight.dtype and not is_autocast:
                grad_weight.addmm_(errors.T, part)
            else:  # autocast casts the operands of products, except of in-place ones
                grad_weight += errors.to(part.dtype).T @ part
            if grad_bias is not None:
                grad_bias += errors.sum(dim=0)
            start += len(chunk_targets)
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
        return scaled[0], scaled[1], scaled[2] if grad_bias else None, None, None
