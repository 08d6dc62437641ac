"""A .npy file that is written piece by piece, without the array in memory."""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

_HEADER_BYTES = 256  # a multiple of 64, as numpy aligns data; room for any shape
_MAGIC = b"\x93NUMPY\x01\x00"


class AppendedArray:
    """Float32 values that are appended to a .npy file; the shape is written at the end.

    Use it as a context. Without `finish` the file is no valid .npy.

    Source: numpy.lib.format, version 1.0.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._file.write(bytes(_HEADER_BYTES))
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, values: npt.NDArray[np.float32]) -> None:
        """Write values of any shape after those before, in C order."""
        self._file.write(np.ascontiguousarray(values, dtype="<f4").tobytes())
        self._count += values.size

    def finish(self, shape: tuple[int, ...]) -> None:
        """Write the header; the shape must hold as many values as were appended."""
        assert np.prod(shape, dtype=np.int64) == self._count, (shape, self._count)
        text = repr({"descr": "<f4", "fortran_order": False, "shape": shape})
        length = _HEADER_BYTES - len(_MAGIC) - 2
        header = text.ljust(length - 1).encode("latin1") + b"\n"
        self._file.seek(0)
        self._file.write(_MAGIC + length.to_bytes(2, "little") + header)
        self._file.flush()
