"""Rows converted to float64 in parts."""

import numpy as np
import pytest

from r2mae.metrics import _rows
from r2mae.metrics._rows import Converted, parts


@pytest.mark.parametrize(
    ("size", "columns", "values", "lengths"),
    [
        (5, 3, 6, [2, 2, 1]),
        (4, 10, 6, [1, 1, 1, 1]),
        (3, 2, 100, [3]),
        (3, 2, None, [3]),
    ],
)
def test_parts_cover_all_rows_once(size, columns, values, lengths):
    rows = np.arange(size)
    covered = [rows[part] for part in parts(size, columns, values)]
    assert [len(part) for part in covered] == lengths
    assert np.concatenate(covered).tolist() == rows.tolist()


@pytest.mark.parametrize("kept", [0, 1 << 26])
@pytest.mark.parametrize("order", [None, np.array([3, 0, 2, 1])])
def test_rows_are_converted_in_order_kept_or_not(monkeypatch, kept, order):
    monkeypatch.setattr(_rows, "_KEPT", kept)
    monkeypatch.setattr(_rows, "_PART", 4)  # two rows
    features = np.arange(8, dtype=np.float16).reshape(4, 2)
    converted = Converted(features, lambda part: part.astype(np.float64) + 1, order)
    expected = (features if order is None else features[order]) + 1
    assert len(converted) == 4
    for rows in (slice(0, 2), slice(1, 4), slice(0, 4)):
        assert converted[rows].dtype == np.float64
        assert converted[rows].tolist() == expected[rows].tolist()
