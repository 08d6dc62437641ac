"""Which positions: exactly K of the eligible ones, by a pattern that is a pure function of (seed, position).

Shapes: B samples, N token positions, V visible, M masked.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from r2mae.masking.rng import RandomStream, bits, uniforms

_LAST = torch.iinfo(torch.int64).max
_NUM_BLOCKS = 64  # rectangles tried a sample: at half the smallest block each, they cover any grid many times


class Mask(NamedTuple):
    """What is hidden, and where to gather it. Shapes carry the counts, so no device is ever asked for them.

    Rows of unequal counts are padded: their last index repeats, with weight 0.
    """

    is_masked: Tensor  # (B, N) bool, True = hidden
    visible: Tensor  # (B, V) int64, ascending
    masked: Tensor  # (B, M) int64, ascending
    visible_weight: Tensor | None = None  # (B, V) bool; None when no row is padded
    masked_weight: Tensor | None = None  # (B, M) bool; None when no row is padded
    visible_counts: tuple[int, ...] | None = None  # B numbers that stay on the host; None when no row is padded


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
    pattern: str, eligible: Tensor, ratios: Tensor, seed: int, positions: Tensor, grid: tuple[int, ...]
) -> Mask:
    """Hide exactly K = round(ratio x eligible) positions of every sample.

    Args:
        pattern: a key of `PATTERNS`.
        eligible: (B, N) bool, positions that may be hidden; rows with fewer than two hide nothing.
        ratios: (B,) float64.
        seed: of the run.
        positions: (B,) int64, of the samples in the stream.
        grid: how the N tokens lie, (rows, columns) or (length,); the product is N.
    """
    counts = count_masked(eligible.sum(dim=1), ratios.to(eligible.device))
    priorities = PATTERNS[pattern](seed, positions, grid).masked_fill(~eligible, _LAST)
    ordered = priorities.sort(dim=1).values
    threshold = ordered.gather(1, (counts - 1).clamp(min=0)[:, None])
    return build_mask((priorities <= threshold) & eligible & (counts > 0)[:, None])


def build_mask(is_masked: Tensor) -> Mask:
    """Gather indices for a given is_masked (B, N) bool."""
    num_masked = is_masked.sum(dim=1)
    most, least = int(num_masked.max()), int(num_masked.min())
    num_tokens = is_masked.shape[1]
    if most == least:
        visible = (~is_masked).nonzero()[:, 1].view(len(is_masked), num_tokens - most)
        return Mask(is_masked, visible, is_masked.nonzero()[:, 1].view(len(is_masked), most))
    visible, visible_weight = _padded(~is_masked, num_tokens - least)
    masked, masked_weight = _padded(is_masked, most)
    visible_counts = tuple((num_tokens - num_masked).tolist())
    return Mask(is_masked, visible, masked, visible_weight, masked_weight, visible_counts)


def _padded(chosen: Tensor, length: int) -> tuple[Tensor, Tensor]:
    counts = chosen.sum(dim=1, keepdim=True)
    slots = torch.arange(length, device=chosen.device)
    indices = (~chosen).long().argsort(dim=1, stable=True)[:, :length]
    last = indices.gather(1, (counts - 1).clamp(min=0))
    weight = slots < counts
    return torch.where(weight, indices, last), weight


def _random(seed: int, positions: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Uniform over all subsets: (B, N) distinct random int64, the token's index breaking ties."""
    token = _tokens(grid, positions.device)
    low = (1 << max(1, (len(token) - 1).bit_length())) - 1
    return (bits(seed, RandomStream.MASK, positions[:, None], token) & ~low) | token


def _block(seed: int, positions: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Rectangles (spans on a line) of random size and place: hidden in the order in which they cover.

    The last rectangle is trimmed at random, which keeps K exact. Areas are 1/16 to 1/4 of the grid, aspect
    ratios 1/2 to 2 (our choice; Bao et al. 2021 place larger and fewer).
    """
    rows, columns = (1, *grid)[-2:]
    token = _tokens(grid, positions.device)
    counter = torch.arange(4 * _NUM_BLOCKS, device=positions.device)
    draws = uniforms(seed, RandomStream.MASK, positions[:, None], len(token) + counter)
    area, aspect, top, left = draws.view(len(positions), 4, _NUM_BLOCKS).unbind(1)
    side = torch.sqrt(rows * columns * (1 / 16 + area * 3 / 16))
    stretch = torch.exp2(aspect - 0.5) if rows > 1 else 1 / side
    height = (side * stretch).round().clamp(1, rows).long()
    width = (side / stretch).round().clamp(1, columns).long()
    # Rectangles may hang over the border, so that every token is covered equally often.
    top = 1 - height + (top * (rows + height - 1)).long()
    left = 1 - width + (left * (columns + width - 1)).long()
    covered_at = torch.full((len(positions), len(token)), _NUM_BLOCKS, device=positions.device)
    row, column = token // columns, token % columns
    for block in reversed(range(_NUM_BLOCKS)):
        inside_rows = (row >= top[:, block, None]) & (row < (top + height)[:, block, None])
        inside_columns = (column >= left[:, block, None]) & (column < (left + width)[:, block, None])
        covered_at.masked_fill_(inside_rows & inside_columns, block)
    return (covered_at << 56) | (_random(seed, positions, grid) & ((1 << 56) - 1))


def _tokens(grid: tuple[int, ...], device: torch.device) -> Tensor:
    num_tokens = 1
    for extent in grid:
        num_tokens *= extent
    return torch.arange(num_tokens, device=device)


# A pattern gives every token a distinct priority; the K lowest are hidden.
PATTERNS: dict[str, Callable[[int, Tensor, tuple[int, ...]], Tensor]] = {"random": _random, "block": _block}
