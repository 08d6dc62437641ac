"""Stores of flat arrays in files, of which rows are read at random by every process of a machine."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
MOST_MAPPED = 1 << 29  # bytes


@dataclass(frozen=True)
class MappedStore:
    """A finished folder of arrays; meta is what its meta.json says, fingerprint and files among it."""

    place: Path
    meta: dict[str, Any]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.place, self.meta)  # not what was mapped so far

    @property
    def fingerprint(self) -> str:
        """Of all that it was made of."""
        return str(self.meta["fingerprint"])

    @property
    def called(self) -> str:
        """What a message calls it: the file that it was made of, where there is one."""
        files = self.meta["files"]
        return str(files[0] if len(files) == 1 else self.place)


class MappedArray:
    """N items of a file, mapped; pages stay in the system's cache, which all processes share.

    Pages that are read through a map count as a process's memory, in the end the whole file. So rows of a file larger
    than most_mapped are read by system calls, which costs 2 microseconds a row instead of a few tenths.
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
        """(B, length) items from starts (B,), each row copied whole."""
        assert len(starts) == 0 or (
            starts.min() >= 0 and starts.max() + length <= len(self.array)
        )
        if self.file is not None:
            file, size = self.file.fileno(), length * self.array.itemsize
            rows = bytearray().join(
                [
                    os.pread(file, size, at)
                    for at in (starts * self.array.itemsize).tolist()
                ]
            )
            return np.frombuffer(rows, dtype=self.array.dtype).reshape(
                len(starts), length
            )
        (step,) = self.array.strides
        shape = (max(0, len(self.array) - length + 1), length)
        found: npt.NDArray[Any] = np.lib.stride_tricks.as_strided(
            self.array, shape, (step, step), writeable=False
        )
        return found[starts]
