"""Samples of unequal lengths as one sequence of tokens: nothing is computed for padding, but inside attention groups.

Tokens lie sample after sample, samples by rising length. Linear maps, norms and MLPs run on all of them at once;
attention runs in a few groups of near lengths (a slice each), or in one variable-length kernel where CUDA has it.

`packed_block` runs timm's blocks on such a sequence.

Shapes: B samples, L longest, T tokens in all, H heads, d values of a head, D width.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

# Computing attention for this many pairs of padding costs about as much as one more group (measured on two cores).
_PAIRS_A_GROUP = 4096


class Group(NamedTuple):
    """Samples next to each other whose attention is computed together, padded to the longest of them."""

    samples: int
    length: int
    tokens: int
    slots: (
        Tensor | None
    )  # (samples * length,) the token in each slot, counted in the group; None without padding
    places: Tensor | None  # (tokens,) the slot of each token
    is_token: Tensor | None  # (samples, 1, 1, length) bool, False = padding


@dataclass(frozen=True)
class Packing:
    """Where the tokens of B samples lie. Made of counts that the host knows, so no device is ever asked for them."""

    lengths: tuple[int, ...]  # of the B samples, rising
    slots: Tensor  # (T,) int64, where tokens come from in a padded (B * L) batch
    rows: Tensor  # (T,) int64, the sample of each token, counted in the batch
    starts: Tensor  # (B + 1,) int32, where samples start in the sequence

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Slices of the sequence; made when first asked for, since the kernel needs none."""
        return tuple(
            make_group(lengths, self.slots.device) for lengths in _split(self.lengths)
        )


def build_packing(lengths: Sequence[int], device: torch.device) -> Packing:
    """Lay out samples of these lengths (tokens each, at least 1)."""
    assert min(lengths) > 0
    counts, order = torch.tensor(lengths).sort(stable=True)
    starts = F.pad(counts.cumsum(0), (1, 0))
    rows = order.repeat_interleave(counts)
    place = torch.arange(len(rows)) - starts[:-1].repeat_interleave(counts)
    slots, rows, starts = (
        move(part, device) for part in (rows * counts[-1] + place, rows, starts.int())
    )
    return Packing(tuple(counts.tolist()), slots, rows, starts)


def _split(lengths: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Rising lengths in groups: the next one joins while all of a group's padding costs less than one more group."""
    groups, padding = [[lengths[0]]], 0
    for length in lengths[1:]:
        padding += len(groups[-1]) * (length**2 - groups[-1][-1] ** 2)
        if padding > _PAIRS_A_GROUP:
            groups.append([])
            padding = 0
        groups[-1].append(length)
    return [tuple(group) for group in groups]


def make_group(lengths: Sequence[int], device: torch.device) -> Group:
    """Samples of these lengths together; a length may be 0 where the tokens are queries."""
    counts = np.asarray(lengths)
    samples, length, tokens = len(counts), int(counts.max()), int(counts.sum())
    if samples * length == tokens:
        return Group(samples, length, tokens, None, None, None)
    place, starts = np.arange(length), counts.cumsum() - counts
    is_token = place < counts[:, None]
    # Padding repeats the sample's last token, so that its values are finite.
    slots = (starts[:, None] + np.minimum(place, counts[:, None] - 1)).clip(min=0)
    parts = (slots.ravel(), np.flatnonzero(is_token), is_token[:, None, None])
    return Group(
        samples,
        length,
        tokens,
        *(move(torch.from_numpy(part), device) for part in parts),
    )


def move(part: Tensor, device: torch.device) -> Tensor:
    """Copied without making anybody wait: from pinned memory to a GPU."""
    return (
        part.pin_memory().to(device, non_blocking=True)
        if device.type == "cuda"
        else part.to(device)
    )


class _Spread(torch.autograd.Function):
    """Rows (t, ...) at slots -> (n, ...); gradients come back from `places` alone, as padding has none."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, slots: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        return rows.index_select(0, slots)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradient.index_select(0, places), None, None


class _Collect(torch.autograd.Function):
    """Rows (n, ...) at places, which are distinct -> (t, ...); the others' gradient is 0."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.num_rows = len(rows)
        return rows.index_select(0, places)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        spread = gradient.new_zeros(ctx.num_rows, *gradient.shape[1:])
        return spread.index_copy_(0, places, gradient), None


def spread(rows: Tensor, slots: Tensor, places: Any) -> Tensor:
    """Rows (t, ...) at slots (n,) -> (n, ...); places (t,) are the slots that are no padding."""
    spread_out: Tensor = _Spread.apply(rows, slots, places)
    return spread_out


def collect(rows: Tensor, places: Tensor) -> Tensor:
    """Rows (n, ...) at places (t,), all different -> (t, ...)."""
    collected: Tensor = _Collect.apply(rows, places)
    return collected


def pack(tokens: Tensor, packing: Packing) -> Tensor:
    """(B, L, D) padded -> (T, D)."""
    return collect(tokens.flatten(0, 1), packing.slots)


def unpack(tokens: Tensor, packing: Packing) -> Tensor:
    """(T, D) -> (B, L, D), zeros where there is no token."""
    num_samples, length = len(packing.lengths), packing.lengths[-1]
    padded = tokens.new_zeros(num_samples * length, tokens.shape[1])
    return padded.index_copy(0, packing.slots, tokens).view(num_samples, length, -1)


def packed_attention(
    qkv: Tensor, packing: Packing, *, dropout: float = 0.0, fused: bool = True
) -> Tensor:
    """Attention inside each sample: queries, keys and values (T, 3, H, d) -> (T, H * d).

    dropout: of attention weights. fused: False computes them one by one, as timm does when so configured.
    """
    if fused and has_kernel(qkv, dropout):
        return _varlen_attention(qkv, packing)
    found = []
    for group, part in zip(
        packing.groups,
        qkv.split([group.tokens for group in packing.groups]),
        strict=True,
    ):
        padded = (
            part if group.slots is None else spread(part, group.slots, group.places)
        )
        shape = (group.samples, group.length, *qkv.shape[1:])
        query, key, value = padded.view(shape).permute(2, 0, 3, 1, 4).unbind(0)
        with nullcontext() if fused else sdpa_kernel(SDPBackend.MATH):
            attended = F.scaled_dot_product_attention(
                query, key, value, group.is_token, dropout
            )
        rows = attended.transpose(1, 2).flatten(2).flatten(0, 1)
        found.append(rows if group.places is None else collect(rows, group.places))
    return found[0] if len(found) == 1 else torch.cat(found)


def has_kernel(heads: Tensor, dropout: float) -> bool:
    """Whether `varlen_attn` takes these (..., H, d): half precision, here or by autocast, on a GPU since Ampere."""
    if (
        dropout
        or heads.device.type != "cuda"
        or torch.cuda.get_device_capability(heads.device) < (8, 0)
    ):
        return False
    return (
        kernel_dtype(heads) in (torch.float16, torch.bfloat16)
        and heads.shape[-1] % 8 == 0
        and heads.shape[-1] <= 128
    )


def kernel_dtype(heads: Tensor) -> torch.dtype:
    """What autocast would run attention in; it leaves float64 alone."""
    lowered = torch.is_autocast_enabled("cuda") and heads.dtype != torch.float64
    return torch.get_autocast_dtype("cuda") if lowered else heads.dtype


def _varlen_attention(qkv: Tensor, packing: Packing) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    query, key, value = qkv.to(kernel_dtype(qkv)).unbind(1)
    starts, length = packing.starts, packing.lengths[-1]
    attended = varlen_attn(query, key, value, starts, starts, length, length)
    assert isinstance(attended, Tensor)
    return attended.flatten(1)
