"""A .npy that is written piece by piece is the one that numpy writes."""

import numpy as np
import pytest

from r2mae.data.appended_array import AppendedArray


@pytest.mark.parametrize("shape", [(5, 3, 2), (10, 3), (30,), (0, 4)])
def test_numpy_reads_what_was_appended(tmp_path, shape):
    values = np.arange(np.prod(shape), dtype=np.float32)
    with AppendedArray(tmp_path / "x.npy") as array:
        for part in np.array_split(values, 4):
            array.append(part)
        array.finish(shape)
    for options in ({}, {"mmap_mode": "r"}):
        read = np.load(tmp_path / "x.npy", **options)
        assert read.dtype == np.float32
        assert np.array_equal(read, values.reshape(shape))


def test_other_layouts_are_written_in_c_order(tmp_path):
    values = np.arange(6, dtype=np.float64).reshape(2, 3)
    with AppendedArray(tmp_path / "x.npy") as array:
        array.append(values.T)
        array.finish((3, 2))
    assert np.array_equal(np.load(tmp_path / "x.npy"), values.T)


def test_without_an_end_it_is_no_npy(tmp_path):
    with AppendedArray(tmp_path / "x.npy") as array:
        array.append(np.zeros(4, np.float32))
    with pytest.raises(ValueError, match="pickled"):
        np.load(tmp_path / "x.npy")
