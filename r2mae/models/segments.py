"""Tokens of many documents as one flat sequence without padding; attention stays inside each document.

A batch names its segments (runs of tokens that see each other) by start and length in its flattened rows. They are laid
out by rising length (`packed.Packing`), so that attention runs on slices of near lengths, or in one kernel on CUDA.

Shapes: S segments, T tokens in all, M asked positions, H heads, d values of a head.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

from r2mae.models.packed import (
    Group,
    Packing,
    collect,
    has_kernel,
    kernel_dtype,
    make_group,
    move,
    spread,
)

Integers = npt.NDArray[np.int64]


class Asked(NamedTuple):
    """Positions of the last block's queries, segment by segment."""

    tokens: Tensor  # (M,) int64, where they are in the layout, rising
    counts: tuple[int, ...]  # of the S segments, in the layout's order
    starts: Tensor  # (S + 1,) int32


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a batch lie; `packing.slots` says where each comes from in the flattened rows."""

    packing: Packing
    order: Integers  # (S,) the batch's segments, by rising length
    places: Tensor  # (T,) int64, a token's place in its segment

    def asked(
        self, slots: Tensor, num_slots: int, counts: Integers
    ) -> tuple[Asked, Tensor]:
        """(where tokens at slots (M,) of the flattened rows are asked for, the order (M,) in which they then stand).

        num_slots: of the flattened rows. counts: (S,) of slots in each of the batch's segments.
        """
        here = torch.empty(num_slots, dtype=torch.int64, device=slots.device)
        here[self.packing.slots] = torch.arange(
            len(self.packing.slots), device=slots.device
        )
        tokens, order = here[slots].sort()
        in_order = counts[self.order]
        starts = torch.from_numpy(np.concatenate([[0], np.cumsum(in_order)])).int()
        return Asked(
            tokens, tuple(in_order.tolist()), move(starts, slots.device)
        ), order


def lay_out(starts: Integers, lengths: Integers, device: torch.device) -> Layout:
    """The layout of segments (S,): starts and lengths in flattened rows; lengths are at least 1."""
    order = np.argsort(lengths, kind="stable")
    counts = lengths[order]
    ends = np.cumsum(counts)
    places = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
    slots = np.repeat(starts[order], counts) + places
    rows = torch.from_numpy(np.repeat(order, counts))
    borders = torch.from_numpy(np.concatenate([[0], ends])).int()
    moved = (move(part, device) for part in (torch.from_numpy(slots), rows, borders))
    packing = Packing(tuple(counts.tolist()), *moved)
    return Layout(packing, order, move(torch.from_numpy(places), device))


def count_in_segments(slots: Integers, starts: Integers) -> Integers:
    """(S,) how many of slots (M,) lie in each segment; starts (S,) rise, as slots of padding are none's."""
    return np.bincount(
        np.searchsorted(starts, slots, side="right") - 1, minlength=len(starts)
    )


def segment_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: Layout,
    asked: Asked | None = None,
    *,
    dropout: float = 0.0,
    window: int | None = None,
) -> Tensor:
    """Attention inside each segment: keys and values (T, H, d), queries (T, H, d) or, asked, (M, H, d) -> (., H * d).

    window: tokens see no further than this to each side; None: all of their segment.
    """
    packing = layout.packing
    if window is not None and window >= packing.lengths[-1] - 1:
        window = None
    if has_kernel(query, dropout):
        return _varlen(query, key, value, packing, asked, window)
    groups = packing.groups
    sizes = [group.tokens for group in groups]
    asking, asked_sizes = list(groups), sizes
    if asked is not None:
        counts = asked.counts
        firsts = np.cumsum([0, *(group.samples for group in groups)])
        asking = [
            make_group(counts[first : first + group.samples], query.device)
            for first, group in zip(firsts, groups, strict=False)
        ]
        asked_sizes = [group.tokens for group in asking]
    where = layout.places if asked is None else layout.places[asked.tokens]
    parts = zip(
        groups,
        asking,
        key.split(sizes),
        value.split(sizes),
        query.split(asked_sizes),
        where.split(asked_sizes),
        strict=True,
    )
    found = []
    for group, wanted, keys, values, queries, places in parts:
        if not wanted.tokens:
            continue
        mask = (
            group.is_token if window is None else _window(group, wanted, places, window)
        )
        attended = F.scaled_dot_product_attention(
            _heads(queries, wanted),
            _heads(keys, group),
            _heads(values, group),
            mask,
            dropout,
        )
        rows = attended.transpose(1, 2).flatten(2).flatten(0, 1)
        found.append(rows if wanted.places is None else collect(rows, wanted.places))
    if not found:  # nothing is asked for
        return query.flatten(1)
    return found[0] if len(found) == 1 else torch.cat(found)


def _heads(tokens: Tensor, group: Group) -> Tensor:
    """(t, H, d) -> (samples, H, length, d)."""
    padded = (
        tokens if group.slots is None else spread(tokens, group.slots, group.places)
    )
    return padded.view(group.samples, group.length, *tokens.shape[1:]).transpose(1, 2)


def _window(group: Group, wanted: Group, places: Tensor, window: int) -> Tensor:
    """(samples, 1, queries, length) bool, or (queries, length) where all samples are alike."""
    key = torch.arange(group.length, device=places.device)
    if wanted.slots is None and wanted is group:
        near = (key[:, None] - key).abs() <= window
    else:
        slots = (
            torch.arange(len(places), device=places.device)
            if wanted.slots is None
            else wanted.slots
        )
        near = (
            places[slots].view(wanted.samples, 1, wanted.length, 1) - key
        ).abs() <= window
    if group.is_token is None:
        return near
    # A query whose window is all padding (itself padding) would give what is no number.
    return near & group.is_token | (key == 0) & ~(near & group.is_token).any(
        dim=-1, keepdim=True
    )


def _varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    asked: Asked | None,
    window: int | None,
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    dtype, starts, longest = kernel_dtype(query), packing.starts, packing.lengths[-1]
    asked_starts, most = (
        (starts, longest) if asked is None else (asked.starts, max(asked.counts))
    )
    size = (-1, -1) if window is None else (window, window)
    query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    attended = varlen_attn(
        query, key, value, asked_starts, starts, most, longest, window_size=size
    )
    assert isinstance(attended, Tensor)
    return attended.flatten(1)
