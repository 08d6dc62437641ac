"""The gene vocabulary of a model: choose it, read it from a file, match a file's genes to it."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.errors import InputError, did_you_mean
from r2mae.modalities.cell.data.features import without_version
from r2mae.modalities.cell.schema import GenesSection

Floats = npt.NDArray[np.float64]


def choose_genes(
    names: list[str], stats: Floats, num_cells: int, section: GenesSection
) -> list[str]:
    """The vocabulary: the list of `section.names`, or the genes that pass its filters.

    names: the G genes of the files; the vocabulary keeps their order.
    stats: (3, G) for each gene, cells with a count, sum and sum of squares of its counts.
    num_cells: cells that stats are over.

    Raises: InputError when fewer than 2 genes are left.
    """
    if section.names is not None:
        return read_gene_list(section.names)
    kept = np.flatnonzero(stats[0] >= section.min_cells)
    if section.top_variable is not None and section.top_variable < len(kept):
        order = np.argsort(-excess_variance(stats[:, kept], num_cells), kind="stable")
        kept = np.sort(kept[order[: section.top_variable]])
    if len(kept) < 2:
        raise InputError(
            f"genes.min_cells must leave at least 2 genes, got {len(kept)} at {section.min_cells}. Lower it."
        )
    return [names[index] for index in kept]


def excess_variance(stats: Floats, num_cells: int) -> Floats:
    """(G,) variance of each gene's counts, divided by the variance expected at its mean.

    The expectation is a quadratic fit of log variance to log mean over all genes.

    Source: Stuart et al. 2019 ("vst"; scanpy's flavor="seurat_v3"). Unlike there, the fit is
    not loess and counts are not clipped, so that one pass over the data is enough.
    """
    mean = stats[1] / num_cells
    variance: Floats = np.maximum(stats[2] / num_cells - mean**2, 0)
    variance *= num_cells / max(1, num_cells - 1)
    usable = (mean > 0) & (variance > 0)
    score = np.zeros(len(mean))
    if usable.sum() < 3:
        return variance
    x, y = np.log(mean[usable]), np.log(variance[usable])
    score[usable] = np.exp(y - np.polynomial.Polynomial.fit(x, y, 2)(x))
    return score


def read_gene_list(names: str | tuple[str, ...]) -> list[str]:
    """The genes of a tuple, or of a text file with one gene a line.

    Raises: InputError for a file that cannot be read, fewer than 2 genes, or duplicates.
    """
    if not isinstance(names, str):
        return list(names)
    try:
        lines = Path(names).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"genes.names must be a text file with a gene a line, got {names!r}: {error}."
        ) from None
    genes = [line.strip() for line in lines if line.strip()]
    if len(genes) < 2:
        raise InputError(
            f"genes.names must hold at least 2 genes, got {len(genes)} in {names!r}."
        )
    unique, counts = np.unique(list(map(without_version, genes)), return_counts=True)
    if len(unique) < len(genes):
        raise InputError(
            f"genes.names must list each gene once, got {unique[counts > 1][0]} again "
            f"in {names!r}. Delete the line."
        )
    return genes


def match_genes(
    path: Any, file_genes: list[str], genes: list[str], least_share: float = 0.0
) -> npt.NDArray[np.int32]:
    """(len(file_genes),) int32: index of each gene in the vocabulary `genes`, or -1.

    Versions of Ensembl ids are ignored.

    Raises: InputError when the file has none of the vocabulary, or less than least_share.
    """
    index_of = {without_version(gene): index for index, gene in enumerate(genes)}
    columns = np.array(
        [index_of.get(without_version(gene), -1) for gene in file_genes], dtype=np.int32
    )
    matched = int((columns >= 0).sum())
    if matched == 0 or matched < least_share * len(genes):
        suggestion = did_you_mean(file_genes[0], genes[:20_000]) if not matched else ""
        raise InputError(
            f"{path} must have at least {max(least_share, 1 / len(genes)):.0%} of the {len(genes)} genes, "
            f"got {matched}: {', '.join(file_genes[:5])} in the file, {', '.join(genes[:5])} in the model. "
            f"{suggestion} Name genes by another column of var, or use another file."
        )
    return columns
