"""Attention over many documents as one flat sequence without padding, apart for each.

A batch names its segments (runs of tokens that attend to each other) by start and length
in its flattened rows. They are laid out by rising length (`packed.Packing`), so attention
runs on slices of similar lengths, or in one kernel on CUDA.

Shapes: S segments, T tokens in all, M queries, H heads, d values of a head.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - as in torch's documentation
from torch import Tensor

from r2mae.models.packed import (
    Group,
    Packing,
    has_kernel,
    kernel_dtype,
    make_group,
    move,
    pad_group,
    unpad_group,
    varlen_attention,
)
from r2mae.models.padded import PaddedRows

Integers = npt.NDArray[np.int64]


class Queries(NamedTuple):
    """A subset of the tokens as queries, segment by segment."""

    tokens: Tensor  # (M,) int64, their indices in the layout, rising
    counts: tuple[int, ...]  # (S,) queries of each segment, in the layout's order
    starts: Tensor  # (S + 1,) int32, where each segment's queries start


@dataclass(frozen=True)
class Layout:
    """Order of a batch's tokens in one flat sequence without padding."""

    packing: Packing
    order: Integers  # (S,) the batch's segments, by rising length
    positions: Tensor  # (T,) int64, position of each token in its segment

    @property
    def slots(self) -> Tensor:
        """(T,) int64, index of each token in the flat rows."""
        return self.packing.slots

    def queries_at(
        self, slots: Tensor, num_slots: int, counts: Integers
    ) -> tuple[Queries, Tensor]:
        """(queries of the tokens at slots (M,) of the flat rows, their order (M,)).

        Query i is the token at slots[order[i]].
        num_slots: of the flat rows. counts: (S,) queries of each of the batch's segments.
        """
        token_at = torch.empty(num_slots, dtype=torch.int64, device=slots.device)
        token_at[self.packing.slots] = torch.arange(
            len(self.packing.slots), device=slots.device
        )
        tokens, order = token_at[slots].sort()
        in_order = counts[self.order]
        starts = torch.from_numpy(np.concatenate([[0], np.cumsum(in_order)])).int()
        starts = move(starts, slots.device)
        return Queries(tokens, tuple(in_order.tolist()), starts), order


def lay_out(starts: Integers, lengths: Integers, device: torch.device) -> Layout:
    """The layout of segments (S,) with these starts in the flat rows and lengths >= 1."""
    order = np.argsort(lengths, kind="stable")
    counts = lengths[order]
    ends = np.cumsum(counts)
    positions = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
    slots = np.repeat(starts[order], counts) + positions
    rows = torch.from_numpy(np.repeat(order, counts))
    borders = torch.from_numpy(np.concatenate([[0], ends])).int()
    parts = (torch.from_numpy(slots), rows, borders)
    packing = Packing(tuple(counts.tolist()), *(move(part, device) for part in parts))
    return Layout(packing, order, move(torch.from_numpy(positions), device))


def count_in_segments(slots: Integers, starts: Integers) -> Integers:
    """(S,) how many of slots (M,) lie in each segment.

    starts: (S,) rising. No slot may be padding, which belongs to no segment.
    """
    segments = np.searchsorted(starts, slots, side="right") - 1
    return np.bincount(segments, minlength=len(starts))


def segment_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: Layout | PaddedRows,
    queries: Queries | None = None,
    *,
    dropout: float = 0.0,
    window: int | None = None,
) -> Tensor:
    """Attention inside each segment -> (T, H * d), or (M, H * d) with queries.

    query: (T, H, d), or (M, H, d) with queries. key, value: (T, H, d).
    window: tokens attend at most this far, on both sides; None: to their full segment.
    """
    if isinstance(layout, PaddedRows):
        return layout.attention(query, key, value, window)
    packing = layout.packing
    if window is not None and window >= packing.lengths[-1] - 1:
        window = None  # reaches over every segment: the mask would change nothing
    if has_kernel(query, dropout):
        return _kernel_attention(query, key, value, packing, queries, window)
    groups, query_groups, positions = packing.groups, packing.groups, layout.positions
    if queries is not None:
        query_groups = _query_groups(groups, queries, query.device)
        positions = positions[queries.tokens]
    sizes = [group.tokens for group in groups]
    query_sizes = [group.tokens for group in query_groups]
    by_query = (part.split(query_sizes) for part in (query, positions))
    by_key = (part.split(sizes) for part in (key, value))
    parts = zip(groups, query_groups, *by_query, *by_key, strict=True)
    outputs = [
        _group_attention(*part, dropout=dropout, window=window)
        for part in parts
        if part[1].tokens
    ]
    if not outputs:  # no queries in the batch
        return query.flatten(1)
    # A single group needs no copy.
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def _query_groups(
    groups: tuple[Group, ...], queries: Queries, device: torch.device
) -> tuple[Group, ...]:
    """The groups of the queries, with the same segments as the groups of the keys."""
    result, first = [], 0
    for group in groups:
        counts = queries.counts[first : first + group.samples]
        result.append(make_group(counts, device))
        first += group.samples
    return tuple(result)


def _group_attention(
    group: Group,
    query_group: Group,
    query: Tensor,
    positions: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    dropout: float,
    window: int | None,
) -> Tensor:
    """Attention of one group (t, H * d); positions (t,) of the queries in segments."""
    mask = group.is_token
    if window is not None:
        mask = _window_mask(group, query_group, positions, window)
    attended = F.scaled_dot_product_attention(
        pad_group(query, query_group).transpose(1, 2),
        pad_group(key, group).transpose(1, 2),
        pad_group(value, group).transpose(1, 2),
        mask,
        dropout,
    )
    return unpad_group(attended, query_group)


def _window_mask(
    group: Group, query_group: Group, positions: Tensor, window: int
) -> Tensor:
    """(samples, 1, queries, length) bool: which keys are within the window.

    (queries, length) where all samples are complete, so that one mask serves them.
    """
    key = torch.arange(group.length, device=positions.device)
    if query_group.token_of_slot is None and query_group is group:
        return (key[:, None] - key).abs() <= window
    if query_group.token_of_slot is not None:
        positions = positions[query_group.token_of_slot]
    shape = (query_group.samples, 1, query_group.length, 1)
    near = (positions.view(shape) - key).abs() <= window
    if group.is_token is None:
        return near
    near = near & group.is_token
    # Padded queries may see no key, and softmax over none is NaN: they see the first.
    return near | (key == 0) & ~near.any(dim=-1, keepdim=True)


def _kernel_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    queries: Queries | None,
    window: int | None,
) -> Tensor:
    dtype, starts, longest = kernel_dtype(query), packing.starts, packing.lengths[-1]
    query_starts, most_queries = starts, longest
    if queries is not None:
        query_starts, most_queries = queries.starts, max(queries.counts)
    return varlen_attention(
        (query.to(dtype), key.to(dtype), value.to(dtype)),
        (query_starts, starts),
        (most_queries, longest),
        window,
    )
