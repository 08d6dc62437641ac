"""A long array of which only the rows inside given runs are stored.

Shapes: T rows of W codes, R runs, B windows, N rows of each.
"""

from pathlib import Path

import numpy as np

from r2mae.data.mapped import MOST_MAPPED, Integers, MappedArray
from r2mae.modalities.dna.genome.bases import Codes
from r2mae.modalities.dna.genome.interval_sets import count_up


class CoveredRows:
    """T rows of W codes; outside of sorted runs (R, 2) every row is `empty`.

    path: file of the rows in runs, one after the other.
    empty: (W,) codes.
    """

    def __init__(
        self, path: Path, runs: Integers, empty: Codes, most_mapped: int = MOST_MAPPED
    ) -> None:
        self.runs, self.empty = runs, empty
        sizes = runs[:, 1] - runs[:, 0]
        # Rows stored before each run.
        self.before = np.concatenate([[0], np.cumsum(sizes)])
        items = int(self.before[-1]) * len(empty)
        self.stored = MappedArray(path, np.uint8, items, most_mapped)

    def take(
        self,
        starts: Integers,
        length: int,
        bounds: tuple[Integers, Integers] | None = None,
    ) -> Codes:
        """(B, length, W) rows from starts (B,) on.

        bounds: first rows and ends (B,) of what is read; rows outside are `empty`.
        """
        width = len(self.empty)
        codes = np.empty((len(starts), length, width), dtype=np.uint8)
        codes[:] = self.empty
        window, first, stop, stored = self._pieces(starts, length, bounds)
        is_full = stop - first == length
        full = self.stored.take(stored[is_full] * width, length * width)
        codes[window[is_full]] = full.reshape(-1, length, width)
        is_part = ~is_full
        window, first, stop = window[is_part], first[is_part], stop[is_part]
        sizes = stop - first
        rows = np.repeat(window, sizes)
        places = np.repeat(first - starts[window], sizes) + count_up(sizes)
        codes[rows, places] = self.stored.take_pieces(stored[is_part], sizes, width)
        return codes

    def _pieces(
        self, starts: Integers, length: int, bounds: tuple[Integers, Integers] | None
    ) -> tuple[Integers, Integers, Integers, Integers]:
        """(window, first row, end, place in the file) of the parts of windows in runs."""
        firsts, stops = starts, starts + length
        if bounds is not None:
            firsts, stops = np.maximum(firsts, bounds[0]), np.minimum(stops, bounds[1])
        low = np.searchsorted(self.runs[:, 1], firsts, "right")
        high = np.searchsorted(self.runs[:, 0], stops, "left")
        counts = np.where(stops > firsts, np.maximum(high - low, 0), 0)
        window = np.repeat(np.arange(len(starts)), counts)
        run = low[window] + count_up(counts)
        first = np.maximum(self.runs[run, 0], firsts[window])
        stop = np.minimum(self.runs[run, 1], stops[window])
        return window, first, stop, self.before[run] + first - self.runs[run, 0]
