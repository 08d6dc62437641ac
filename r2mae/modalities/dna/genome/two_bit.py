"""Read 2bit files, UCSC's packed genomes.

Source: https://genome.ucsc.edu/FAQ/FAQformat.html#format7
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from r2mae.data.mapped import Integers
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import SOFT_MASK, A, C, Codes, G, N, T
from r2mae.modalities.dna.genome.files import BLOCK, OnRead

_SIGNATURE = 0x1A412743
_BASES = np.array([T, C, A, G], dtype=np.uint8)  # by two bits
# Codes of the four bases in a byte, the first in its highest bits.
_SHIFTS = np.array([6, 4, 2, 0])
_PACKED = _BASES[(np.arange(256)[:, None] >> _SHIFTS) & 3]


def is_two_bit(path: Path) -> bool:
    """Whether a file's name is that of a 2bit file."""
    return path.name.lower().endswith(".2bit")


def read_two_bit(
    path: Path, progress: OnRead = lambda _: None
) -> Iterator[tuple[str, bytes]]:
    """(record, codes of a part of its bases), in order. Each record starts with no bases.

    Raises: InputError for truncated files and other formats.
    """
    data = np.memmap(path, dtype=np.uint8, mode="r")
    try:
        file = _File(data)
        for name, offset in file.records():
            yield name, b""
            for codes in file.codes(offset):
                yield name, codes
            progress(offset)
    except (IndexError, ValueError):
        raise InputError(
            f"{path} must be a complete 2bit file, got a truncated file or another format. "
            "Download it again."
        ) from None
    progress(len(data))


class _File:
    """The bytes of a 2bit file, of either byte order."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self.order = "<" if self._numbers(0, 1, "<")[0] == _SIGNATURE else ">"
        signature, version, self.count, _ = self._numbers(0, 4).tolist()
        if signature != _SIGNATURE or version != 0:
            raise ValueError

    def _numbers(self, place: int, count: int, order: str = "") -> Integers:
        """`count` 32-bit numbers from a byte on."""
        part = self.data[place : place + 4 * count]
        if len(part) < 4 * count:
            raise IndexError
        kind = np.dtype(f"{order or self.order}u4")
        return np.frombuffer(part.tobytes(), dtype=kind).astype(np.int64)

    def records(self) -> list[tuple[str, int]]:
        """Names and offsets in bytes of all records."""
        records, place = [], 16
        for _ in range(self.count):
            size = int(self.data[place])
            name = self.data[place + 1 : place + 1 + size].tobytes()
            place += 1 + size
            records.append((name.decode(), int(self._numbers(place, 1)[0])))
            place += 4
        return records

    def codes(self, place: int) -> Iterator[bytes]:
        """Codes of a record's bases, a block at a time."""
        length = int(self._numbers(place, 1)[0])
        unknown, place = self._runs(place + 4)
        masked, place = self._runs(place)
        place += 4
        if place + -(-length // 4) > len(self.data):
            raise IndexError
        for start in range(0, length, BLOCK):
            stop = min(start + BLOCK, length)
            packed = self.data[place + start // 4 : place + -(-stop // 4)]
            codes = _PACKED[packed].reshape(-1)[: stop - start]
            _set_runs(codes, unknown, start, N)
            is_masked = np.zeros(len(codes), dtype=np.uint8)
            _set_runs(is_masked, masked, start, SOFT_MASK)
            yield (codes | is_masked).tobytes()

    def _runs(self, place: int) -> tuple[Integers, int]:
        """((R, 2) starts and stops, offset of the byte after them)."""
        count = int(self._numbers(place, 1)[0])
        starts, sizes = self._numbers(place + 4, 2 * count).reshape(2, count)
        return np.stack([starts, starts + sizes], axis=1), place + 4 + 8 * count


def _set_runs(codes: Codes, runs: Integers, start: int, code: int) -> None:
    """Set a code in the runs of a block that begins at start."""
    is_here = (runs[:, 1] > start) & (runs[:, 0] < start + len(codes))
    for first, stop in (runs[is_here] - start).tolist():
        codes[max(0, first) : stop] = code
