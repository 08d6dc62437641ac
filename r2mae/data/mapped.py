"""Memory-mapped flat arrays, read at random rows by every process of a machine."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
MOST_MAPPED = 1 << 29  # bytes; larger files are read by system calls


@dataclass(frozen=True)
class MappedStore:
    """A complete folder of arrays.

    meta: the content of its meta.json, with "fingerprint" and "files".
    """

    place: Path
    meta: dict[str, Any]

    def __reduce__(self) -> tuple[Any, ...]:
        # Open maps are not pickled: each worker process maps the files itself.
        return type(self), (self.place, self.meta)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of everything that the store was built from."""
        return str(self.meta["fingerprint"])

    @property
    def called(self) -> str:
        """Name in messages: the source file if there is one, otherwise the folder."""
        files = self.meta["files"]
        return str(files[0] if len(files) == 1 else self.place)


class MappedArray:
    """N items of a file, memory-mapped; all processes share the page cache.

    Pages read through a map count towards a process's resident memory, in the end the
    full file. Rows of files larger than most_mapped bytes are therefore read by system
    calls, at 2 microseconds a row instead of a few tenths.
    """

    def __init__(
        self,
        path: Path,
        dtype: npt.DTypeLike,
        items: int,
        most_mapped: int = MOST_MAPPED,
    ) -> None:
        self.array: npt.NDArray[Any] = np.zeros(0, dtype=dtype)
        if items:
            self.array = np.memmap(path, dtype=dtype, mode="r", shape=(items,))
        self.file = (
            path.open("rb", buffering=0) if self.array.nbytes > most_mapped else None
        )

    def take(self, starts: Integers, length: int) -> npt.NDArray[Any]:
        """(B, length) copies of the items from starts (B,) on."""
        assert len(starts) == 0 or (
            starts.min() >= 0 and starts.max() + length <= len(self.array)
        )
        if self.file is not None:
            file, size = self.file.fileno(), length * self.array.itemsize
            offsets = (starts * self.array.itemsize).tolist()
            # A bytearray, so that the array is writable without a further copy.
            rows = bytearray().join([os.pread(file, size, at) for at in offsets])
            items = np.frombuffer(rows, dtype=self.array.dtype)
            return items.reshape(len(starts), length)
        (step,) = self.array.strides
        shape = (max(0, len(self.array) - length + 1), length)
        windows: npt.NDArray[Any] = np.lib.stride_tricks.as_strided(
            self.array, shape, (step, step), writeable=False
        )
        return windows[starts]

    def take_pieces(
        self, starts: Integers, counts: Integers, width: int
    ) -> npt.NDArray[Any]:
        """(sum of counts, width) copies of counts (P,) rows from rows starts (P,) on.

        width: items of a row, into whole rows of which the file is divided.
        """
        if self.file is not None:
            file, size = self.file.fileno(), width * self.array.itemsize
            places = zip(
                (counts * size).tolist(), (starts * size).tolist(), strict=True
            )
            rows = bytearray().join([os.pread(file, *place) for place in places])
            return np.frombuffer(rows, dtype=self.array.dtype).reshape(-1, width)
        before = np.cumsum(counts) - counts
        numbers = np.repeat(starts - before, counts) + np.arange(counts.sum())
        copies: npt.NDArray[Any] = self.array.reshape(-1, width)[numbers]
        return copies
