"""Mask patterns: which K of the eligible positions of a sample are masked.

A pattern is a pure function of seed and position in the stream.

Shapes: B samples, N token positions, V visible, M masked.
"""

import math
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

from r2mae.masking.mask import Mask, build_mask
from r2mae.masking.rng import RandomStream, bits, uniforms

_LAST = torch.iinfo(torch.int64).max
_MEAN_SPAN = 3.0  # tokens, our choice; SpanBERT (Joshi et al. 2020) has 3.8 words
_NUM_BLOCKS = 64  # rectangles per sample: enough to cover any grid many times


class Role(IntEnum):
    """Role of a position, for samples where "may be masked or not" is not enough."""

    ABSENT = 0  # padding: neither visible nor masked
    SEEN = 1  # always visible
    HIDEABLE = 2  # visible or masked
    DECOY = 3  # masked and predicted, or absent; never visible
    TARGET = 4  # always masked and predicted, whatever the ratio


def count_masked(num_eligible: Tensor, ratios: Tensor) -> Tensor:
    """Number of positions to mask, K = round(ratio x eligible), (B,) int64.

    Halves round up. At least one position is masked and one stays visible.

    Args:
        num_eligible: (B,) int64.
        ratios: (B,) float64 in (0, 1).
    """
    # Integer arithmetic on the first 32 binary digits, so that all devices agree.
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
    """Mask exactly K = round(ratio x eligible) positions of each sample.

    The same share of a sample's decoys is masked as well, and all of its targets.

    Args:
        pattern: a key of `PATTERNS`.
        eligible: (B, N) bool, True where a position may be masked, False where it stays
            visible; or (B, N) int8 of `Role`. Rows with fewer than two eligible
            positions mask none.
        ratios: (B,) float64, mask ratios.
        seed: of the run.
        positions: (B,) int64, of the samples in the stream.
        grid: layout of the N tokens, (rows, columns) or (length,); its product is N.
        step: optimizer step, for patterns that all samples of a step share.
        columns: (B, N) int64, identity of a position across samples, such as its gene;
            None for its index.
        units: (B, N) int64, ascending, the word that a position belongs to; None for
            words of one position.
        gather: False leaves out the indices.
    """
    ratios = ratios.to(eligible.device)
    priorities = PATTERNS[pattern](_Draw(seed, positions, grid, step, columns, units))
    if eligible.dtype == torch.bool:
        return build_mask(_hide(priorities, eligible, ratios), gather=gather)
    is_masked, is_visible = _hide_by_role(priorities, eligible, ratios)
    return build_mask(is_masked, is_visible, gather=gather)


def _hide_by_role(
    priorities: Tensor, roles: Tensor, ratios: Tensor
) -> tuple[Tensor, Tensor]:
    """(is_masked, is_visible), both (B, N) bool, for roles (B, N)."""
    hideable = roles == Role.HIDEABLE
    is_masked = _hide(priorities, hideable, ratios)
    is_visible = (hideable & ~is_masked) | (roles == Role.SEEN)
    decoys = roles == Role.DECOY
    if decoys.any():
        is_masked |= _hide(priorities, decoys, ratios)
    return is_masked | (roles == Role.TARGET), is_visible


def is_token_of(eligible: Tensor) -> Tensor:
    """(B, N) bool: positions that are part of the sample, neither padding nor decoys.

    eligible: as in `sample_mask`.
    """
    if eligible.dtype == torch.bool:
        return torch.ones_like(eligible)
    return (eligible != Role.ABSENT) & (eligible != Role.DECOY)


def _hide(priorities: Tensor, eligible: Tensor, ratios: Tensor) -> Tensor:
    """(B, N) bool: the K eligible positions of lowest priority in each row.

    priorities: (B, N) int64, distinct within a row. ratios: (B,).
    """
    counts = count_masked(eligible.sum(dim=1), ratios)
    priorities = priorities.masked_fill(~eligible, _LAST)
    most = int(counts.max())
    if most == int(counts.min()) and most > 0:
        # Equal counts are the common case, and selection is faster than a sort.
        threshold = priorities.kthvalue(most, dim=1, keepdim=True).values
    else:
        threshold = priorities.sort(dim=1).values.gather(
            1, (counts - 1).clamp(min=0)[:, None]
        )
    return (priorities <= threshold) & eligible & (counts > 0)[:, None]


class _Draw(NamedTuple):
    """Arguments of a pattern; see `sample_mask`."""

    seed: int
    positions: Tensor
    grid: tuple[int, ...]
    step: int
    columns: Tensor | None
    units: Tensor | None


def _random(draw: _Draw) -> Tensor:
    """Uniform over all subsets of K positions."""
    token = _tokens(draw.grid, draw.positions.device)
    return _untied(
        bits(draw.seed, RandomStream.MASK, draw.positions[:, None], token), token
    )


def _column(draw: _Draw) -> Tensor:
    """One random order of columns for all samples of a step.

    Samples of equal length mask the same columns.
    """
    token = _tokens(draw.grid, draw.positions.device)
    names = token[None] if draw.columns is None else draw.columns
    step = torch.tensor(draw.step, device=names.device)
    priorities = _untied(bits(draw.seed, RandomStream.COLUMN, step, names), token)
    return priorities.expand(len(draw.positions), -1)


def _word(draw: _Draw) -> Tensor:
    """Whole words in random order; the last one is cut at its end to keep K exact."""
    token = _tokens(draw.grid, draw.positions.device)
    units = token[None] if draw.units is None else draw.units
    return _untied(
        bits(draw.seed, RandomStream.MASK, draw.positions[:, None], units), token
    )


def _span(draw: _Draw) -> Tensor:
    """Spans of geometric length, mean `_MEAN_SPAN`, in random order; the last one is cut.

    Source: SpanBERT, Joshi et al. 2020. Differs: they limit lengths to 10 and start
    spans at words.
    """
    token = _tokens(draw.grid, draw.positions.device)
    # Counters from N on are not used by the random order of the spans.
    counter = len(token) + token
    draws = uniforms(draw.seed, RandomStream.MASK, draw.positions[:, None], counter)
    starts = draws < 1 / _MEAN_SPAN
    return _word(draw._replace(units=starts.cumsum(dim=1)))


def _untied(priorities: Tensor, token: Tensor) -> Tensor:
    """Distinct priorities: the lowest bits are replaced by the token's index."""
    low = (1 << max(1, (len(token) - 1).bit_length())) - 1
    return (priorities & ~low) | token


def _block(draw: _Draw) -> Tensor:
    """Rectangles (spans on a line) of random size and place, one after another.

    The last rectangle is masked in part, at random, to keep K exact. Areas are 1/16 to
    1/4 of the grid and aspect ratios 1/2 to 2.

    Source: BEiT, Bao et al. 2021. Differs: they place fewer and larger rectangles.
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
    # Rectangles may extend over the border, so that all tokens are equally often covered.
    top = 1 - height + (top * (rows + height - 1)).long()
    left = 1 - width + (left * (columns + width - 1)).long()
    covered_at = torch.full(
        (len(positions), len(token)), _NUM_BLOCKS, device=positions.device
    )
    row, column = token // columns, token % columns
    # Backwards, so that the first rectangle over a token is the one that counts.
    for block in reversed(range(_NUM_BLOCKS)):
        inside_rows = (row >= top[:, block, None]) & (
            row < (top + height)[:, block, None]
        )
        inside_columns = (column >= left[:, block, None]) & (
            column < (left + width)[:, block, None]
        )
        covered_at.masked_fill_(inside_rows & inside_columns, block)
    # Order by rectangle first, at random within one.
    return (covered_at << 56) | (_random(draw) & ((1 << 56) - 1))


def _tokens(grid: tuple[int, ...], device: torch.device) -> Tensor:
    """Indices of the tokens, (N,)."""
    return torch.arange(math.prod(grid), device=device)


# A pattern gives each token (B, N) a distinct priority; the K lowest are masked.
PATTERNS: dict[str, Callable[[_Draw], Tensor]] = {
    "random": _random,
    "block": _block,
    "column": _column,
    "word": _word,
    "span": _span,
}
