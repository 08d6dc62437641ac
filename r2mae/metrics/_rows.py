"""Rows of features in float64 in parts, so that large features are never copied as a whole."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.metrics._checks import Floats, Integers

_PART = 1 << 21  # values
_KEPT = 1 << 26  # values that are converted once, 512 MiB; more at each reading


def parts(size: int, columns: int, values: int | None = None) -> Iterator[slice]:
    """Slices of `size` rows, each of at most `values` values in that many columns, or one row.

    values: None for 16 MiB of float64.
    """
    step = max(1, (values or _PART) // columns)
    return (slice(start, start + step) for start in range(0, size, step))


class Converted:
    """Rows of features (N, D) of any dtype, converted to float64 where they are read.

    convert: of features (n, D), to (n, D) float64; of a row alone, whatever the others.
    order: (N,) rows of features in the order to read; None for theirs.
    """

    def __init__(
        self,
        features: npt.NDArray[Any],
        convert: Callable[[npt.NDArray[Any]], Floats],
        order: Integers | None = None,
    ) -> None:
        self.shape = features.shape
        self._features, self._convert, self._order = features, convert, order
        self._kept: Floats | None = None
        if features.size <= _KEPT:
            kept = np.empty(features.shape)
            for rows in parts(*features.shape):
                kept[rows] = self[rows]
            self._kept = kept

    def __len__(self) -> int:
        return len(self._features)

    def __getitem__(self, rows: slice) -> Floats:
        if self._kept is not None:
            return self._kept[rows]
        chosen = rows if self._order is None else self._order[rows]
        return self._convert(self._features[chosen])
