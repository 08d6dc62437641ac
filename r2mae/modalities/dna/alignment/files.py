"""Read aligned FASTA."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import SOFT_ALIGNED
from r2mae.modalities.dna.genome.files import OnRead, open_dna, read_fasta


def is_fasta(path: Path) -> bool:
    """Whether a file begins with '>', as FASTA does."""
    with open_dna(path) as file:
        while block := file.read(1 << 12):
            if block.strip():
                return block.lstrip().startswith(b">")
    return False


class Records(NamedTuple):
    """An aligned FASTA: names of R records, and a file of their codes (R, columns)."""

    path: Path
    names: list[str]
    rows: Path
    columns: int

    def codes(self) -> npt.NDArray[Any]:
        """(R, columns) codes with soft masks, memory-mapped."""
        return np.memmap(
            self.rows, dtype=np.uint8, mode="r", shape=(len(self.names), self.columns)
        )


def read_records(path: Path, rows: Path, progress: OnRead = lambda _: None) -> Records:
    """Records of an aligned FASTA; their codes are written to the file `rows`.

    Raises: InputError for damaged files, repeated names and records of unequal length.
    """
    names: list[str] = []
    sizes: list[int] = []
    with rows.open("wb") as file:
        for name, codes in read_fasta(path, SOFT_ALIGNED, progress):
            if not codes:
                if name in names:
                    raise InputError(
                        f"{path}: record {name} must have a unique name, got it twice. Rename one."
                    )
                names.append(name)
                sizes.append(0)
            sizes[-1] += len(codes)
            file.write(codes)
    for name, size in zip(names, sizes, strict=True):
        if size != sizes[0] or not size:
            expected = "columns"
            if sizes[0]:
                expected = f"{sizes[0]:,} columns, as {names[0]} has"
            raise InputError(
                f"{path}: record {name} must have {expected}, got {size:,}. "
                "Align the records first."
            )
    if len(names) < 2:
        raise InputError(
            f"{path} must hold at least two aligned records, got {len(names)}."
        )
    return Records(path, names, rows, sizes[0])
