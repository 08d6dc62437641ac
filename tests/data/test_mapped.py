"""Flat arrays that are mapped, or read where they are large."""

import pickle

import numpy as np
import pytest

from r2mae.data.mapped import MappedArray, MappedStore

pytestmark = pytest.mark.usefixtures("scratch")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_rows_are_the_same_mapped_or_read(scratch, dtype):
    values = np.random.default_rng(0).integers(0, 200, 500).astype(dtype)
    values.tofile("values.bin")
    starts = np.array([0, 490, 3, 3, 77])
    mapped, read = (
        MappedArray(scratch / "values.bin", dtype, 500, most) for most in (1 << 20, 0)
    )
    assert mapped.file is None
    assert read.file is not None
    for array in (mapped, read):
        rows = array.take(starts, 10)
        assert np.array_equal(
            rows, np.stack([values[start : start + 10] for start in starts])
        )
        rows[:] = 0  # a copy: the file stays
        assert array.take(starts[:0], 10).shape == (0, 10)
    assert np.array_equal(np.fromfile("values.bin", dtype), values)


def test_pieces_of_rows_are_the_same_mapped_or_read(scratch):
    values = np.arange(60, dtype=np.int32)
    values.tofile("values.bin")
    starts, counts = np.array([7, 0, 7, 19]), np.array([2, 3, 0, 1])
    rows = values.reshape(-1, 3)
    expected = np.concatenate([rows[7:9], rows[:3], rows[19:]])
    for most in (1 << 20, 0):
        array = MappedArray(scratch / "values.bin", np.int32, 60, most)
        pieces = array.take_pieces(starts, counts, 3)
        assert np.array_equal(pieces, expected)
        pieces[:] = 0  # a copy: the file stays
    assert np.array_equal(np.fromfile("values.bin", np.int32), values)


def test_a_store_is_called_by_its_only_file_and_maps_anew_in_a_worker(scratch):
    meta = {"fingerprint": "f", "files": ["a.fa"]}
    store = MappedStore(scratch, meta)
    again = pickle.loads(pickle.dumps(store))
    assert (again.called, again.fingerprint, again.place) == ("a.fa", "f", scratch)
    several = MappedStore(scratch, meta | {"files": ["a.fa", "b.fa"]})
    assert several.called == str(scratch)
