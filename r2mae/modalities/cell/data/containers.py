"""HDF5 files and zarr folders, which hold groups and arrays alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def open_container(path: Path) -> Iterator[Any]:
    """The root group of an HDF5 file or a zarr folder, opened for reading."""
    if path.is_dir():
        import zarr

        yield zarr.open_group(path, mode="r")
    else:
        import h5py

        with h5py.File(path, "r") as file:
            yield file


def is_zarr(path: Path) -> bool:
    """Whether a path is a zarr folder, of version 2 or 3."""
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup"))


def is_array(node: Any) -> bool:
    """Whether a member of a container is an array, not a group."""
    return hasattr(node, "dtype")


def texts(array: Any) -> list[str]:
    """The strings of a one-dimensional array of bytes or text."""
    items = [array[()]] if array.shape == () else array[:]
    return [
        item.decode("utf-8") if isinstance(item, bytes) else str(item) for item in items
    ]
