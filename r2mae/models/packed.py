"""Batches of unequal lengths as one sequence of tokens: nothing is computed for padding.

Tokens lie sample after sample, samples by rising length. Linear layers, norms and MLPs
run on all tokens at once. Attention runs in a few groups of similar lengths, each padded
to its longest, or in one variable-length kernel on CUDA.

`packed_block` runs timm's blocks on such a sequence.

Shapes: B samples, L longest, T tokens in all, H heads, d values of a head, D width.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

# Costs in padded (query, key) pairs, measured on CPU cores: of one more call of attention,
# and of copying and masking a token of a padded group.
_PAIRS_PER_CALL, _PAIRS_PER_TOKEN = 2048, 16


class Group(NamedTuple):
    """Neighbouring samples whose attention is computed together, padded to the longest.

    The index tensors are None where no sample of the group needs padding.
    """

    samples: int
    length: int
    tokens: int
    token_of_slot: Tensor | None  # (samples * length,) token of each padded slot
    slot_of_token: Tensor | None  # (tokens,) padded slot of each token
    is_token: Tensor | None  # (samples, 1, 1, length) bool, False = padding


@dataclass(frozen=True)
class Packing:
    """Order of the tokens of B samples.

    Built from counts on the host, so that no GPU synchronisation is needed.
    """

    lengths: tuple[int, ...]  # of the B samples, rising
    slots: Tensor  # (T,) int64, index of each token in the padded batch (B * L)
    rows: Tensor  # (T,) int64, index of each token's sample in the batch
    starts: Tensor  # (B + 1,) int32, where samples start in the sequence

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Slices of the sequence. Cached; never built where the CUDA kernel runs."""
        return tuple(
            make_group(lengths, self.slots.device) for lengths in _split(self.lengths)
        )


def build_packing(lengths: Sequence[int], device: torch.device) -> Packing:
    """The packing of samples with these lengths, in tokens, at least 1 each."""
    assert min(lengths) > 0
    counts, order = torch.tensor(lengths).sort(stable=True)
    starts = F.pad(counts.cumsum(0), (1, 0))
    rows = order.repeat_interleave(counts)
    offsets = torch.arange(len(rows)) - starts[:-1].repeat_interleave(counts)
    parts = (rows * counts[-1] + offsets, rows, starts.int())
    slots, rows, starts = (move(part, device) for part in parts)
    return Packing(tuple(counts.tolist()), slots, rows, starts)


def _split(lengths: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Rising lengths in groups.

    Samples of one length stay together, and need no padding in a group of their own. They
    join the current group while its padding costs less than a call.
    """
    runs = [tuple(run) for _, run in groupby(lengths)]
    groups, spent = [runs[0]], 0
    for run in runs[1:]:
        group = groups[-1]
        spent += len(group) * (run[0] ** 2 - group[-1] ** 2)
        copied = sum(group) + sum(run)
        if spent + _PAIRS_PER_TOKEN * copied > _PAIRS_PER_CALL:
            groups.append(run)
            spent = 0
        else:
            groups[-1] = group + run
    return groups


def make_group(lengths: Sequence[int], device: torch.device) -> Group:
    """The group of samples with these lengths; 0 is allowed for groups of queries."""
    counts = np.asarray(lengths)
    samples, length, tokens = len(counts), int(counts.max()), int(counts.sum())
    if samples * length == tokens:
        return Group(samples, length, tokens, None, None, None)
    columns, starts = np.arange(length), counts.cumsum() - counts
    is_token = columns < counts[:, None]
    # Padding repeats the sample's last token, so that its values are finite.
    last = np.minimum(columns, counts[:, None] - 1)
    token_of_slot = (starts[:, None] + last).clip(min=0)
    parts = (token_of_slot.ravel(), np.flatnonzero(is_token), is_token[:, None, None])
    tensors = (move(torch.from_numpy(part), device) for part in parts)
    return Group(samples, length, tokens, *tensors)


def move(part: Tensor, device: torch.device) -> Tensor:
    """Copy to a device; to a GPU from pinned memory, without synchronisation."""
    if device.type == "cuda":
        return part.pin_memory().to(device, non_blocking=True)
    return part.to(device)


class _Spread(torch.autograd.Function):
    """Rows (t, ...) -> (n, ...) by token_of_slot; padded slots give no gradient back."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, token_of_slot: Tensor, slot_of_token: Tensor
    ) -> Tensor:
        ctx.save_for_backward(slot_of_token)
        return rows.index_select(0, token_of_slot)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (slot_of_token,) = ctx.saved_tensors
        return gradient.index_select(0, slot_of_token), None, None


class _Collect(torch.autograd.Function):
    """Rows (n, ...) at distinct indices (t,) -> (t, ...); other rows get gradient 0."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.num_rows = len(rows)
        return rows.index_select(0, indices)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (indices,) = ctx.saved_tensors
        spread = gradient.new_zeros(ctx.num_rows, *gradient.shape[1:])
        # A plain copy: distinct indices need no accumulation, which would be slower.
        return spread.index_copy_(0, indices, gradient), None


def pad_group(tokens: Tensor, group: Group) -> Tensor:
    """Tokens (t, ...) of a group -> (samples, length, ...)."""
    padded = tokens
    if group.token_of_slot is not None:
        padded = _Spread.apply(tokens, group.token_of_slot, group.slot_of_token)
    return padded.view(group.samples, group.length, *tokens.shape[1:])


def unpad_group(heads: Tensor, group: Group) -> Tensor:
    """Attention's output (samples, H, length, d) -> (t, H * d), padding dropped."""
    rows = heads.transpose(1, 2).flatten(2).flatten(0, 1)
    if group.slot_of_token is None:
        return rows
    return collect(rows, group.slot_of_token)


def collect(rows: Tensor, indices: Tensor) -> Tensor:
    """Rows (n, ...) at distinct indices (t,) -> (t, ...)."""
    collected: Tensor = _Collect.apply(rows, indices)
    return collected


def pack(tokens: Tensor, packing: Packing) -> Tensor:
    """(B, L, D) padded -> (T, D)."""
    return collect(tokens.flatten(0, 1), packing.slots)


def unpack(tokens: Tensor, packing: Packing) -> Tensor:
    """(T, D) -> (B, L, D); padding is 0."""
    num_samples, length = len(packing.lengths), packing.lengths[-1]
    padded = tokens.new_zeros(num_samples * length, tokens.shape[1])
    return padded.index_copy(0, packing.slots, tokens).view(num_samples, length, -1)


def packed_attention(
    qkv: Tensor, packing: Packing, *, dropout: float = 0.0, fused: bool = True
) -> Tensor:
    """Attention inside each sample: queries, keys, values (T, 3, H, d) -> (T, H * d).

    dropout: of attention weights.
    fused: False uses the math backend, as timm does when `fused_attn` is off.
    """
    if fused and has_kernel(qkv, dropout):
        return _varlen_attention(qkv, packing)
    outputs = []
    parts = qkv.split([group.tokens for group in packing.groups])
    for group, part in zip(packing.groups, parts, strict=True):
        query, key, value = pad_group(part, group).permute(2, 0, 3, 1, 4).unbind(0)
        with nullcontext() if fused else sdpa_kernel(SDPBackend.MATH):
            attended = F.scaled_dot_product_attention(
                query, key, value, group.is_token, dropout
            )
        outputs.append(unpad_group(attended, group))
    # A single group needs no copy.
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def has_kernel(heads: Tensor, dropout: float) -> bool:
    """Whether `varlen_attn` can run on tensors like these (..., H, d).

    It needs half precision (autocast counts), a GPU since Ampere, and no dropout.
    """
    if dropout or heads.device.type != "cuda":
        return False
    if torch.cuda.get_device_capability(heads.device) < (8, 0):
        return False
    is_half = kernel_dtype(heads) in (torch.float16, torch.bfloat16)
    # Flash attention takes head widths in multiples of 8; wide ones stay padded.
    return is_half and heads.shape[-1] % 8 == 0 and heads.shape[-1] <= 128


def kernel_dtype(heads: Tensor) -> torch.dtype:
    """The dtype that autocast gives attention; float64 is left alone."""
    if torch.is_autocast_enabled("cuda") and heads.dtype != torch.float64:
        return torch.get_autocast_dtype("cuda")
    return heads.dtype


def varlen_attention(
    heads: tuple[Tensor, Tensor, Tensor],
    starts: tuple[Tensor, Tensor],
    longest: tuple[int, int],
    window: int | None = None,
) -> Tensor:
    """torch's variable-length kernel -> (., H * d).

    heads: queries, keys, values (., H, d).
    starts, longest: of the sequences, for queries and for keys.
    window: each query sees keys at most this far away, on both sides; None: all.
    """
    # Imported here: CPU-only builds of torch may lack it.
    from torch.nn.attention.varlen import varlen_attn

    size = (-1, -1) if window is None else (window, window)
    attended = varlen_attn(*heads, *starts, *longest, window_size=size)
    assert isinstance(attended, Tensor)
    return attended.flatten(1)


def _varlen_attention(qkv: Tensor, packing: Packing) -> Tensor:
    query, key, value = qkv.to(kernel_dtype(qkv)).unbind(1)
    starts, longest = packing.starts, packing.lengths[-1]
    return varlen_attention((query, key, value), (starts, starts), (longest, longest))
