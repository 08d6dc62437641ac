"""Which positions: exactly K of the eligible ones, by a pattern that is a pure function of (seed, position).

Shapes: B samples, N token positions, V visible, M masked.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

from r2mae.masking.rng import RandomStream, bits, uniforms

_LAST = torch.iinfo(torch.int64).max
_MEAN_SPAN = 3.0  # our choice; Joshi et al. 2020 have 3.8 words
_NUM_BLOCKS = 64  # rectangles tried a sample: at half the smallest block each, they cover any grid many times


class Role(IntEnum):
    """What a position may be, where more is to say than whether it may be hidden."""

    ABSENT = 0  # padding: neither seen nor hidden
    SEEN = 1  # never hidden
    HIDEABLE = 2
    DECOY = 3  # never seen: asked for when its own share is hidden, otherwise absent


class Mask(NamedTuple):
    """What is hidden, and where to gather it. Shapes carry the counts, so no device is ever asked for them.

    Rows of unequal counts are padded: their last index repeats, with weight 0. Models that gather nothing are given
    no indices: V = M = 0.
    """

    is_masked: Tensor  # (B, N) bool, True = hidden
    visible: Tensor  # (B, V) int64, ascending
    masked: Tensor  # (B, M) int64, ascending
    visible_weight: Tensor | None = None  # (B, V) bool; None when no row is padded
    masked_weight: Tensor | None = None  # (B, M) bool; None when no row is padded
    visible_counts: tuple[int, ...] | None = (
        None  # B numbers that stay on the host; None when no row is padded
    )


def count_masked(num_eligible: Tensor, ratios: Tensor) -> Tensor:
    """K = round(ratio x eligible), half up, at least one position left on each side.

    Exact integer arithmetic on the ratio's first 32 binary digits, so every device agrees.

    Args:
        num_eligible: (B,) int64.
        ratios: (B,) float64 in (0, 1).
    """
    fraction = torch.round(ratios * 2.0**32).long()
    rounded = (fraction * num_eligible + (1 << 31)) >> 32
    return torch.minimum(rounded.clamp(min=1), num_eligible - 1).clamp(min=0)


def sample_mask(
    pattern: str,
    eligible: Tensor,
    ratios: Tensor,
    seed: int,
    positions: Tensor,
    grid: tuple[int, ...],
    *,
    step: int = 0,
    columns: Tensor | None = None,
    units: Tensor | None = None,
    gather: bool = True,
) -> Mask:
    """Hide exactly K = round(ratio x eligible) positions of every sample; of decoys, the same share of their own.

    Args:
        pattern: a key of `PATTERNS`.
        eligible: (B, N) bool, positions that may be hidden, others are seen; or a `Role` each, int8. Rows with fewer
            than two hide nothing.
        ratios: (B,) float64.
        seed: of the run.
        positions: (B,) int64, of the samples in the stream.
        grid: how the N tokens lie, (rows, columns) or (length,); the product is N.
        step: of the optimizer, for patterns that all samples of a step share.
        columns: (B, N) int64, what a position is called in all samples; None: its index.
        units: (B, N) int64, rising, of which whole unit (a word) a position is a part; None: each is one.
        gather: False leaves out the indices.
    """
    ratios = ratios.to(eligible.device)
    priorities = PATTERNS[pattern](_Draw(seed, positions, grid, step, columns, units))
    if eligible.dtype == torch.bool:
        return build_mask(_hide(priorities, eligible, ratios), gather=gather)
    hideable = eligible == Role.HIDEABLE
    is_masked = _hide(priorities, hideable, ratios)
    is_visible = (hideable & ~is_masked) | (eligible == Role.SEEN)
    decoys = eligible == Role.DECOY
    if decoys.any():
        is_masked |= _hide(priorities, decoys, ratios)
    return build_mask(is_masked, is_visible, gather=gather)


def is_token_of(eligible: Tensor) -> Tensor:
    """(B, N) bool: positions that a sample has, of what `sample_mask` takes; not padding, not decoys."""
    if eligible.dtype == torch.bool:
        return torch.ones_like(eligible)
    return (eligible == Role.SEEN) | (eligible == Role.HIDEABLE)


def _hide(priorities: Tensor, eligible: Tensor, ratios: Tensor) -> Tensor:
    """(B, N) bool: the eligible positions of lowest priority, a share of ratios (B,) of each row's."""
    counts = count_masked(eligible.sum(dim=1), ratios)
    priorities = priorities.masked_fill(~eligible, _LAST)
    most = int(counts.max())
    if most == int(counts.min()) and most > 0:
        threshold = priorities.kthvalue(most, dim=1, keepdim=True).values
    else:
        threshold = priorities.sort(dim=1).values.gather(
            1, (counts - 1).clamp(min=0)[:, None]
        )
    return (priorities <= threshold) & eligible & (counts > 0)[:, None]


def build_mask(
    is_masked: Tensor, is_visible: Tensor | None = None, *, gather: bool = True
) -> Mask:
    """Gather indices for is_masked (B, N) bool; all other positions are visible unless is_visible says which."""
    if not gather:
        nothing = is_masked.new_empty(len(is_masked), 0, dtype=torch.int64)
        return Mask(is_masked, nothing, nothing)
    is_visible = ~is_masked if is_visible is None else is_visible
    visible, visible_weight, visible_counts = _indices(is_visible)
    masked, masked_weight, _ = _indices(is_masked)
    return Mask(
        is_masked, visible, masked, visible_weight, masked_weight, visible_counts
    )


def _indices(chosen: Tensor) -> tuple[Tensor, Tensor | None, tuple[int, ...] | None]:
    """(indices, weight, counts of rows) of the chosen positions; weight and counts are None without padding."""
    counts = chosen.sum(dim=1)
    most = int(counts.max())
    if most == int(counts.min()):
        return chosen.nonzero()[:, 1].view(len(chosen), most), None, None
    return *_padded(chosen, most), tuple(counts.tolist())


def _padded(chosen: Tensor, length: int) -> tuple[Tensor, Tensor]:
    counts = chosen.sum(dim=1, keepdim=True)
    slots = torch.arange(length, device=chosen.device)
    indices = (~chosen).long().argsort(dim=1, stable=True)[:, :length]
    last = indices.gather(1, (counts - 1).clamp(min=0))
    weight = slots < counts
    return torch.where(weight, indices, last), weight


class _Draw(NamedTuple):
    """What a pattern may depend on; see `sample_mask`."""

    seed: int
    positions: Tensor
    grid: tuple[int, ...]
    step: int
    columns: Tensor | None
    units: Tensor | None


def _random(draw: _Draw) -> Tensor:
    """Uniform over all subsets: (B, N) distinct random int64, the token's index breaking ties."""
    token = _tokens(draw.grid, draw.positions.device)
    return _untied(
        bits(draw.seed, RandomStream.MASK, draw.positions[:, None], token), token
    )


def _column(draw: _Draw) -> Tensor:
    """One order of columns for all samples of a step, so that those of equal length hide the same."""
    token = _tokens(draw.grid, draw.positions.device)
    names = token[None] if draw.columns is None else draw.columns
    step = torch.tensor(draw.step, device=names.device)
    priorities = _untied(bits(draw.seed, RandomStream.COLUMN, step, names), token)
    return priorities.expand(len(draw.positions), -1)


def _word(draw: _Draw) -> Tensor:
    """Whole units in random order; the last one is trimmed at its end, which keeps K exact."""
    token = _tokens(draw.grid, draw.positions.device)
    units = token[None] if draw.units is None else draw.units
    return _untied(
        bits(draw.seed, RandomStream.MASK, draw.positions[:, None], units), token
    )


def _span(draw: _Draw) -> Tensor:
    """Spans of neighbours of geometric length, mean `_MEAN_SPAN`, in random order; the last one is trimmed.

    Differs: Joshi et al. 2020 cut lengths at 10 and begin spans at words.
    """
    token = _tokens(draw.grid, draw.positions.device)
    starts = (
        uniforms(
            draw.seed, RandomStream.MASK, draw.positions[:, None], len(token) + token
        )
        < 1 / _MEAN_SPAN
    )
    return _word(draw._replace(units=starts.cumsum(dim=1)))


def _untied(priorities: Tensor, token: Tensor) -> Tensor:
    low = (1 << max(1, (len(token) - 1).bit_length())) - 1
    return (priorities & ~low) | token


def _block(draw: _Draw) -> Tensor:
    """Rectangles (spans on a line) of random size and place: hidden in the order in which they cover.

    The last rectangle is trimmed at random, which keeps K exact. Areas are 1/16 to 1/4 of the grid, aspect
    ratios 1/2 to 2 (our choice; Bao et al. 2021 place larger and fewer).
    """
    positions, grid = draw.positions, draw.grid
    rows, columns = (1, *grid)[-2:]
    token = _tokens(grid, positions.device)
    counter = torch.arange(4 * _NUM_BLOCKS, device=positions.device)
    draws = uniforms(
        draw.seed, RandomStream.MASK, positions[:, None], len(token) + counter
    )
    area, aspect, top, left = draws.view(len(positions), 4, _NUM_BLOCKS).unbind(1)
    side = torch.sqrt(rows * columns * (1 / 16 + area * 3 / 16))
    stretch = torch.exp2(aspect - 0.5) if rows > 1 else 1 / side
    height = (side * stretch).round().clamp(1, rows).long()
    width = (side / stretch).round().clamp(1, columns).long()
    # Rectangles may hang over the border, so that every token is covered equally often.
    top = 1 - height + (top * (rows + height - 1)).long()
    left = 1 - width + (left * (columns + width - 1)).long()
    covered_at = torch.full(
        (len(positions), len(token)), _NUM_BLOCKS, device=positions.device
    )
    row, column = token // columns, token % columns
    for block in reversed(range(_NUM_BLOCKS)):
        inside_rows = (row >= top[:, block, None]) & (
            row < (top + height)[:, block, None]
        )
        inside_columns = (column >= left[:, block, None]) & (
            column < (left + width)[:, block, None]
        )
        covered_at.masked_fill_(inside_rows & inside_columns, block)
    return (covered_at << 56) | (_random(draw) & ((1 << 56) - 1))


def _tokens(grid: tuple[int, ...], device: torch.device) -> Tensor:
    num_tokens = 1
    for extent in grid:
        num_tokens *= extent
    return torch.arange(num_tokens, device=device)


# A pattern gives every token a distinct priority; the K lowest are hidden.
PATTERNS: dict[str, Callable[[_Draw], Tensor]] = {
    "random": _random,
    "block": _block,
    "column": _column,
    "word": _word,
    "span": _span,
}
