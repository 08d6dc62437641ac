"""Set operations on intervals: (I, 2) arrays of [start, stop)."""

import numpy as np

from r2mae.data.mapped import Integers


def merge(intervals: Integers) -> Integers:
    """(I, 2) sorted intervals; overlapping and touching ones are joined."""
    if not len(intervals):
        return intervals
    intervals = intervals[np.argsort(intervals[:, 0], kind="stable")]
    furthest = np.maximum.accumulate(intervals[:, 1])
    is_first = np.append(True, intervals[1:, 0] > furthest[:-1])
    firsts = np.flatnonzero(is_first)
    lasts = np.append(firsts[1:], len(intervals)) - 1
    return np.stack([intervals[firsts, 0], furthest[lasts]], axis=1)


def invert(intervals: Integers, stop: int) -> Integers:
    """Complement of merged intervals (I, 2) in [0, stop)."""
    edges = np.concatenate([[0], intervals.ravel(), [stop]]).reshape(-1, 2)
    return edges[edges[:, 0] < edges[:, 1]]


def intersect(first: Integers, second: Integers) -> Integers:
    """Intersection of two sorted lists (I, 2) without overlaps; touching intervals stay apart."""
    low = np.searchsorted(second[:, 1], first[:, 0], "right")
    high = np.searchsorted(second[:, 0], first[:, 1], "left")
    counts = np.maximum(high - low, 0)
    rows = np.repeat(np.arange(len(first)), counts)
    others = low[rows] + count_up(counts)
    starts = np.maximum(first[rows, 0], second[others, 0])
    stops = np.minimum(first[rows, 1], second[others, 1])
    return np.stack([starts, stops], axis=1)


def overlap(runs: Integers, starts: Integers, length: int | Integers) -> Integers:
    """(W,) bases of [start, start + length) that lie in sorted runs (R, 2)."""
    if not len(runs):
        return np.zeros(len(starts), dtype=np.int64)
    sizes = runs[:, 1] - runs[:, 0]
    before = np.concatenate([[0], np.cumsum(sizes)])

    def count_before(positions: Integers) -> Integers:
        run = np.searchsorted(runs[:, 0], positions, "right")
        inside = np.minimum(positions, runs[run - 1, 1]) - runs[run - 1, 0]
        return np.where(run > 0, before[run - 1] + inside, 0)

    return count_before(starts + length) - count_before(starts)


def split_intervals(intervals: Integers, most: int) -> Integers:
    """(P, 2) pieces of at most `most` bases, in order, that make up intervals (I, 2)."""
    pieces = -(-(intervals[:, 1] - intervals[:, 0]) // most)
    rows = np.repeat(np.arange(len(intervals)), pieces)
    starts = intervals[rows, 0] + most * count_up(pieces)
    stops = np.minimum(starts + most, intervals[rows, 1])
    return np.stack([starts, stops], axis=1)


def count_up(counts: Integers) -> Integers:
    """0 to n - 1 for each n of counts, concatenated."""
    firsts = np.cumsum(counts) - counts
    steps: Integers = np.arange(counts.sum()) - np.repeat(firsts, counts)
    return steps
