"""Windows as runs of them: where each begins, how many there are, and what is left where too much is unknown.

A run is `count` windows of `length` bases from `first` on, one every `stride`. R runs, or parts of contigs.
"""

import numpy as np

from r2mae.data.mapped import Integers
from r2mae.modalities.dna.genome.intervals import count_up, overlap

_TOGETHER = 1 << 20  # windows that are looked at together


def count_windows(
    regions: Integers, length: int, stride: int
) -> tuple[Integers, Integers]:
    """(where runs of windows begin (R,), how many there are (R,)), of regions long enough."""
    counts = (regions[:, 1] - regions[:, 0] - length) // stride + 1
    is_long = regions[:, 1] - regions[:, 0] >= length
    return regions[is_long, 0], counts[is_long]


def without(
    firsts: Integers,
    counts: Integers,
    stride: int,
    length: int,
    runs: Integers,
    most: int,
) -> tuple[Integers, Integers]:
    """Runs of windows without those that have more than `most` places in `runs`: memory does not grow with windows."""
    is_whole = overlap(runs, firsts, stride * (counts - 1) + length) <= most
    kept = [np.stack([firsts[is_whole], counts[is_whole]], axis=1)]
    firsts, counts = firsts[~is_whole], counts[~is_whole]
    pieces = -(-counts // _TOGETHER)
    rows = np.repeat(np.arange(len(firsts)), pieces)
    done = _TOGETHER * count_up(pieces)
    firsts, counts = (
        firsts[rows] + stride * done,
        np.minimum(counts[rows] - done, _TOGETHER),
    )
    cuts = np.flatnonzero(np.diff(np.cumsum(counts) // _TOGETHER)) + 1
    for some in np.split(np.arange(len(firsts)), cuts):
        within, piece = count_up(counts[some]), np.repeat(some, counts[some])
        starts = firsts[piece] + stride * within
        is_good = overlap(runs, starts, length) <= most
        follows = is_good[:-1] & is_good[1:] & (piece[:-1] == piece[1:])
        begins = np.flatnonzero(is_good & ~np.append(False, follows)[: len(is_good)])
        ends = np.flatnonzero(is_good & ~np.append(follows, False)[: len(is_good)])
        kept.append(np.stack([starts[begins], ends - begins + 1], axis=1))
    found = np.concatenate(kept)
    found = found[np.argsort(found[:, 0])]
    return found[:, 0], found[:, 1]
