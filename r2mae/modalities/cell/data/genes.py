"""The ordered vocabulary: which genes, in which order, and what of it a file has."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.errors import InputError, did_you_mean
from r2mae.modalities.cell.schema import GenesSection

Floats = npt.NDArray[np.float64]


def check_unique(path: Path, names: list[str]) -> None:
    """Raise InputError when a gene is named twice."""
    unique, counts = np.unique(names, return_counts=True)
    twice = unique[counts > 1]
    if len(twice):
        some = ", ".join(map(str, twice[:5]))
        raise InputError(
            f"{path} must name every gene once, got {len(twice)} names more than once, such as {some}. "
            "Name genes by another column of var (ids are unique), or add the counts up."
        )


def choose_genes(
    names: list[str], stats: Floats, num_cells: int, section: GenesSection
) -> list[str]:
    """The vocabulary, in the order of names, or of the given list.

    stats: (3, G) cells with the gene, sum, sum of squares.

    Raises: InputError when fewer than 2 are left.
    """
    if section.names is not None:
        return read_gene_list(section.names)
    kept = np.flatnonzero(stats[0] >= section.min_cells)
    if section.top_variable is not None and section.top_variable < len(kept):
        kept = np.sort(
            kept[
                np.argsort(-excess_variance(stats[:, kept], num_cells), kind="stable")[
                    : section.top_variable
                ]
            ]
        )
    if len(kept) < 2:
        raise InputError(
            f"genes.min_cells must leave at least 2 genes, got {len(kept)} at {section.min_cells}. Lower it."
        )
    return [names[index] for index in kept]


def excess_variance(stats: Floats, num_cells: int) -> Floats:
    """(G,) variance of counts over what genes of that mean have: a quadratic in the logarithms, fitted to all genes.

    Source: Stuart et al. 2019 ("vst"; scanpy's seurat_v3). Differs: a polynomial instead of loess, no clipping of
    single counts, so that sums in one pass are enough.
    """
    mean = stats[1] / num_cells
    variance: Floats = (
        np.maximum(stats[2] / num_cells - mean**2, 0)
        * num_cells
        / max(1, num_cells - 1)
    )
    usable = (mean > 0) & (variance > 0)
    score = np.zeros(len(mean))
    if usable.sum() < 3:
        return variance
    x, y = np.log(mean[usable]), np.log(variance[usable])
    score[usable] = np.exp(y - np.polynomial.Polynomial.fit(x, y, 2)(x))
    return score


def read_gene_list(names: str | tuple[str, ...]) -> list[str]:
    """Genes as given, or from a file with one a line. Raises: InputError for files that cannot be read, duplicates."""
    if not isinstance(names, str):
        return list(names)
    try:
        found = [
            line.strip()
            for line in Path(names).read_text().splitlines()
            if line.strip()
        ]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"genes.names must be a text file with a gene a line, got {names!r}: {error}."
        ) from None
    if len(found) < 2:
        raise InputError(
            f"genes.names must hold at least 2 genes, got {len(found)} in {names!r}."
        )
    check_unique(Path(names), found)
    return found


def match_genes(
    path: Any, have: list[str], want: list[str], least_share: float = 0.0
) -> npt.NDArray[np.int32]:
    """(len(have),) the place of each gene among want, -1 for those that are not.

    Raises: InputError when less than least_share of want, or nothing, is found; with the nearest names.
    """
    place = {name: number for number, name in enumerate(want)}
    columns = np.array([place.get(name, -1) for name in have], dtype=np.int32)
    found = int((columns >= 0).sum())
    if found == 0 or found < least_share * len(want):
        near = did_you_mean(have[0], want[:20_000]) if found == 0 else ""
        few = f"{', '.join(have[:5])} in the file, {', '.join(want[:5])} in the model"
        raise InputError(
            f"{path} must have at least {max(least_share, 1 / len(want)):.0%} of the {len(want)} genes, "
            f"got {found}: {few}. {near} Name genes by another column of var, or use another file."
        )
    return columns
