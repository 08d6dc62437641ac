"""First pass over files of cells: check every count, and sum up genes and cells."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.atomic import atomic_file
from r2mae.modalities.cell.data.blocks import CellFile, Values
from r2mae.modalities.cell.data.genes import choose_genes
from r2mae.modalities.cell.schema import GenesSection
from r2mae.progress import Progress

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class BuildOptions:
    """Options that change a store; the keys of data in a recipe explain them.

    min_genes, min_counts: cells with fewer are left out.
    """

    matrix: str = "X"
    values: Values = "counts"
    round_counts: bool = False
    genes: GenesSection = field(default_factory=GenesSection)
    min_genes: int = 1
    min_counts: int = 1


@dataclass(frozen=True)
class Scan:
    """Sums of one file, of G genes and N cells."""

    stats: Array  # (3, G) over kept cells: cells with the gene, sum, sum of squares
    is_kept: Array  # (N,) whether a cell has the genes and counts required
    totals: Array  # (N,) sum of a cell
    greatest: float  # value
    doubled: int = 0  # entries that were added to another one of the same gene and cell
    rounded: int = 0  # values that were not whole


def scan_file(
    file: CellFile, saved_in: Path, options: BuildOptions, progress: Progress
) -> Scan:
    """Sum up a file, or read the sums of an interrupted call from `saved_in`."""
    if saved_in.is_file():
        with np.load(saved_in) as saved:
            return Scan(
                saved["stats"],
                saved["is_kept"],
                saved["totals"],
                float(saved["greatest"]),
                int(saved["doubled"]),
                int(saved["rounded"]),
            )
    scan = _scan(file, options, progress)
    with atomic_file(saved_in) as unfinished:
        np.savez(unfinished, **vars(scan))
    return scan


def _scan(file: CellFile, options: BuildOptions, progress: Progress) -> Scan:
    stats, greatest = np.zeros((3, len(file.gene_names))), 0.0
    is_kept, totals = np.zeros(len(file), dtype=np.bool_), np.zeros(len(file))
    changes: Counter[str] = Counter()
    for first, block in file.blocks(options.values, changes=changes):
        block.eliminate_zeros()
        part = slice(first, first + block.shape[0])
        totals[part] = np.asarray(block.sum(axis=1)).ravel()
        is_kept[part] = np.diff(block.indptr) >= options.min_genes
        if options.values == "counts":
            is_kept[part] &= totals[part] >= options.min_counts
        chosen = block[is_kept[part]]
        values = chosen.data.astype(np.float64)
        for row, weights in enumerate((None, values, values**2)):
            stats[row] += np.bincount(
                chosen.indices, weights, minlength=len(file.gene_names)
            )
        greatest = max(greatest, float(values.max(initial=0)))
        progress(f"{file.path.name}, checking", part.stop, len(file))
    doubled, rounded = changes["doubled"], changes["rounded"]
    return Scan(stats, is_kept, totals, greatest, doubled, rounded)


def choose_vocabulary(
    files: list[CellFile], scans: list[Scan], section: GenesSection
) -> list[str]:
    """The genes that the section chooses of all files' genes, in order of appearance."""
    index_of: dict[str, int] = {}
    for file in files:
        for name in file.gene_names:
            index_of.setdefault(name, len(index_of))
    stats = np.zeros((3, len(index_of)))
    for file, scan in zip(files, scans, strict=True):
        stats[:, [index_of[name] for name in file.gene_names]] += scan.stats
    num_cells = int(sum(scan.is_kept.sum() for scan in scans))
    return choose_genes(list(index_of), stats, num_cells, section)
