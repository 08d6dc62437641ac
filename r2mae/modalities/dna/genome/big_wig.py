"""Read and write bigWig files, with pyBigWig."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.mapped import Integers
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.store import GenomeStore

_CHUNK = 1 << 20  # bases read, or entries written, at a time


def is_big_wig(path: Path) -> bool:
    """Whether a file's name is that of a bigWig file."""
    return path.suffix.lower() in (".bw", ".bigwig")


def check_big_wig(path: Path) -> None:
    """Raise InputError where pyBigWig is not installed."""
    _library(path)


def _library(path: Path) -> Any:
    try:
        import pyBigWig
    except ModuleNotFoundError:
        raise InputError(
            f"{path} needs pyBigWig, which is not installed. "
            'Run: pip install "r2mae[dna]".'
        ) from None
    return pyBigWig


def read_big_wig(path: Path) -> Iterator[tuple[str, int, npt.NDArray[np.float64]]]:
    """(contig, first position, values (n,), nan for none) of all parts with values.

    Raises: InputError for damaged files and other formats.
    """
    library = _library(path)
    try:
        file = library.open(str(path))
        lengths = file.chroms()
    except RuntimeError:
        lengths = None
    if lengths is None:
        raise InputError(
            f"{path} must be a bigWig file, got a damaged file or another format."
        )
    for contig, length in lengths.items():
        for start in range(0, length, _CHUNK):
            stop = min(start + _CHUNK, length)
            values = np.array(file.values(contig, start, stop), dtype=np.float64)
            if np.isfinite(values).any():
                yield contig, start, values
    file.close()


def write_big_wig(
    path: Path,
    genome: GenomeStore,
    contigs: Integers,
    positions: Integers,
    values: npt.NDArray[np.float64],
) -> None:
    """Write values (P,) of single bases, sorted by contig and position; nan is left out."""
    file = _library(path).open(str(path), "w")
    file.addHeader([(contig.name, contig.length) for contig in genome.contigs])
    rows = np.flatnonzero(np.isfinite(values))
    names = np.array([contig.name for contig in genome.contigs], dtype=object)
    for at in range(0, len(rows), _CHUNK):
        chunk = rows[at : at + _CHUNK]
        starts = positions[chunk]
        file.addEntries(
            names[contigs[chunk]].tolist(),
            starts.tolist(),
            ends=(starts + 1).tolist(),
            values=values[chunk].tolist(),
        )
    file.close()
