"""Runs of windows: consecutive windows as two numbers, so that memory does not grow with windows.

A run is `count` windows of `length` bases, the first at `first`, one every `stride` bases.
Shapes: R runs, or parts of contigs.
"""

import numpy as np

from r2mae.data.mapped import Integers
from r2mae.modalities.dna.genome.interval_sets import count_up, merge, overlap

_CHUNK = 1 << 20  # windows checked at a time
_MOST_UNUSED = 0.1  # share of bases left out, above which a shorter length is advised
_SHORTEST = 32  # bases of an advised window


def count_windows(
    regions: Integers, length: int, stride: int
) -> tuple[Integers, Integers]:
    """(starts of runs (R,), numbers of windows (R,)) of regions (R, 2) that hold a window."""
    sizes = regions[:, 1] - regions[:, 0]
    counts = (sizes - length) // stride + 1
    is_long = sizes >= length
    return regions[is_long, 0], counts[is_long]


def count_bases(firsts: Integers, counts: Integers, length: int, stride: int) -> int:
    """Bases in at least one window of runs."""
    if stride > length:
        return int(counts.sum()) * length
    runs = np.stack([firsts, firsts + stride * (counts - 1) + length], axis=1)
    runs = merge(runs)
    return int((runs[:, 1] - runs[:, 0]).sum())


def advise_length(sizes: Integers, length: int) -> str | None:
    """Advice on shorter windows, where windows leave out over a tenth of regions.

    sizes: (R,) of the regions.
    """
    if (sizes // length * length).sum() >= (1 - _MOST_UNUSED) * sizes.sum():
        return None
    while length >= 2 * _SHORTEST:
        length //= 2
        unused = 1 - (sizes // length * length).sum() / sizes.sum()
        if unused <= _MOST_UNUSED:
            return f"data.length: {length} would leave out {unused:.0%}"
    return None


def drop_windows(
    firsts: Integers,
    counts: Integers,
    stride: int,
    length: int,
    intervals: Integers,
    max_bases: int,
) -> tuple[Integers, Integers]:
    """Runs without the windows that have over max_bases bases in sorted intervals (I, 2).

    Returns: (firsts, counts) of the remaining runs, in order.
    """
    run_lengths = stride * (counts - 1) + length
    is_kept = overlap(intervals, firsts, run_lengths) <= max_bases
    kept = [np.stack([firsts[is_kept], counts[is_kept]], axis=1)]
    firsts, counts = firsts[~is_kept], counts[~is_kept]
    pieces = -(-counts // _CHUNK)
    rows = np.repeat(np.arange(len(firsts)), pieces)
    done = _CHUNK * count_up(pieces)
    firsts = firsts[rows] + stride * done
    counts = np.minimum(counts[rows] - done, _CHUNK)
    chunks = np.cumsum(counts) // _CHUNK
    cuts = np.flatnonzero(np.diff(chunks)) + 1
    for some in np.split(np.arange(len(firsts)), cuts):
        within = count_up(counts[some])
        piece = np.repeat(some, counts[some])
        starts = firsts[piece] + stride * within
        is_good = overlap(intervals, starts, length) <= max_bases
        follows = is_good[:-1] & is_good[1:] & (piece[:-1] == piece[1:])
        begins = np.flatnonzero(is_good & ~np.append(False, follows)[: len(is_good)])
        ends = np.flatnonzero(is_good & ~np.append(follows, False)[: len(is_good)])
        kept.append(np.stack([starts[begins], ends - begins + 1], axis=1))
    runs = np.concatenate(kept)
    runs = runs[np.argsort(runs[:, 0])]
    return runs[:, 0], runs[:, 1]
