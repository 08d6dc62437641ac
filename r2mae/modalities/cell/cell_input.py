"""An AnnData as the input of an exported model of cells, genes matched by name. Needs numpy alone.

`r2mae export --to transformers` copies this file beside the weights.

Shapes: N cells, G genes of the model, F features of the AnnData.
"""

import re
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

_GENE_TYPES = {"gene expression", "gex", "gene", "genes", "rna"}
_VERSIONED = re.compile(r"(ENS[A-Z]*G\d{11})\.\d+(_PAR_Y)?")
_LEAST_OVERLAP = 0.5  # share of the model's genes, as in r2mae embed
_NUM_NAMED = 5  # genes in a message
_NUM_LOOKED_AT = 50  # cells
_FEWEST_VALUES = 20  # of a cell, to tell whether it repeats them


def read_cells(
    adata: Any,
    genes: list[str],
    *,
    matrix: str = "X",
    genes_by: str = "index",
    duplicates: str = "refuse",
    is_counts: bool = True,
    round_counts: bool = False,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """(values (N, G) float32, is_measured (G,)) of all cells; 0 for genes that adata lacks.

    genes: (G,) names in the model's order.
    matrix: "X", "raw" or "layers[NAME]". genes_by: "index", or a column of var.
    duplicates: "refuse", or "sum" features of one name.
    is_counts: values must be whole and not negative, unless round_counts.

    Raises: ValueError for a missing matrix or column, repeated genes, fewer than half of
        the genes, values that are not counts or are to be rounded though normalized, and
        cells without a count of any gene.
    """
    stored, var = _find_matrix(adata, matrix, genes_by)
    names = var.index if genes_by == "index" else var[genes_by]
    columns = _match(list(map(str, names)), genes, _is_gene(var), duplicates)
    matched = np.flatnonzero(columns >= 0)
    is_measured = np.zeros(len(genes), dtype=np.bool_)
    is_measured[columns[matched]] = True
    _check_overlap(genes, is_measured)
    part = stored[:, matched]
    part = part.toarray() if hasattr(part, "toarray") else np.asarray(part)
    values = np.zeros((len(part), len(genes)), dtype=np.float64)
    np.add.at(values.T, columns[matched], part.T)
    if round_counts and is_counts:
        if looks_normalized(row[row > 0] for row in values[:_NUM_LOOKED_AT]):
            raise ValueError(
                f"{matrix} must hold counts corrected for ambient RNA to be rounded, got "
                "normalized ones. Set model.config.matrix to another one, such as 'raw'."
            )
        values = np.where(values > 0, np.round(values), values)
    _check_values(values, matrix, is_counts)
    return values.astype(np.float32), is_measured


def looks_normalized(cells: Iterable[npt.NDArray[Any]]) -> bool:
    """Whether cells hold normalized counts, logarithmic or not: fractions, which each of them repeats.

    Counts corrected for ambient RNA (SoupX, DecontX) differ from gene to gene.

    cells: the positive values of each. Cells with fewer than 20 are not looked at.
    """
    distinct = []
    for values in cells:
        if len(values) < _FEWEST_VALUES:
            continue
        is_fraction = values != np.round(values)
        is_mostly = is_fraction.mean() > 0.95
        distinct.append(len(np.unique(values)) / len(values) if is_mostly else 1.0)
    return bool(distinct) and float(np.median(distinct)) < 0.5


def _find_matrix(adata: Any, matrix: str, genes_by: str) -> tuple[Any, Any]:
    """(matrix (N, F) in memory, var (F rows))."""
    holder = adata.raw if matrix == "raw" else adata
    matrices = {f"layers[{name}]": layer for name, layer in adata.layers.items()}
    matrices["X"] = adata.X
    if adata.raw is not None:
        matrices["raw"] = adata.raw.X
    stored = matrices.get(matrix)
    if stored is None:
        raise ValueError(
            f"the AnnData must have the matrix {matrix!r}, got {', '.join(matrices)}. "
            "Set model.config.matrix."
        )
    if genes_by != "index" and genes_by not in holder.var.columns:
        raise ValueError(
            f"the AnnData must have {genes_by!r} in var to name its genes, got "
            f"{', '.join(map(str, holder.var.columns)) or 'no columns'}. Set model.config.genes_by."
        )
    in_memory = stored.to_memory() if hasattr(stored, "to_memory") else stored
    return in_memory, holder.var


def _is_gene(var: Any) -> npt.NDArray[np.bool_]:
    """(F,) features of gene expression; all of them where var has no such type."""
    is_gene = np.ones(len(var), dtype=np.bool_)
    if "feature_types" in var.columns:
        types = var["feature_types"].astype(str).str.lower()
        is_expression = types.isin(_GENE_TYPES).to_numpy()
        is_gene = is_expression if is_expression.any() else is_gene
    return is_gene


def _match(
    names: list[str],
    genes: list[str],
    is_gene: npt.NDArray[np.bool_],
    duplicates: str,
) -> npt.NDArray[np.int64]:
    """(F,) index of each feature among the model's genes; -1 for others.

    Versions of Ensembl ids are ignored.
    """
    index_of = {without_version(gene): index for index, gene in enumerate(genes)}
    numbers = [index_of.get(without_version(name), -1) for name in names]
    columns = np.where(is_gene, numbers, -1)
    counts = np.bincount(columns[columns >= 0], minlength=len(genes))
    repeated = np.flatnonzero(counts > 1)
    if duplicates == "refuse" and len(repeated):
        first = ", ".join(genes[index] for index in repeated[:_NUM_NAMED])
        raise ValueError(
            f"the AnnData must have each gene once, got {len(repeated)} repeated, such as "
            f"{first}. Set model.config.duplicates to 'sum', or model.config.genes_by."
        )
    return columns


def without_version(name: str) -> str:
    """An Ensembl gene id without its version; other names as they are."""
    match = _VERSIONED.fullmatch(name)
    return match[1] + (match[2] or "") if match else name


def _check_overlap(genes: list[str], is_measured: npt.NDArray[np.bool_]) -> None:
    """Raise ValueError for fewer than half of the genes; warn of any that are missing."""
    missing = [genes[index] for index in np.flatnonzero(~is_measured)]
    if len(missing) > (1 - _LEAST_OVERLAP) * len(genes):
        raise ValueError(
            f"the AnnData must have at least {_LEAST_OVERLAP:.0%} of the model's {len(genes)} "
            f"genes, such as {', '.join(genes[:_NUM_NAMED])}, got "
            f"{len(genes) - len(missing)}. Set model.config.genes_by to a column of var."
        )
    if missing:
        warnings.warn(
            f"{len(missing)} of the model's {len(genes)} genes are missing and count as "
            f"not measured, the first {', '.join(missing[:_NUM_NAMED])}.",
            stacklevel=4,
        )


def _check_values(
    values: npt.NDArray[np.float64], matrix: str, is_counts: bool
) -> None:
    """Raise ValueError for values that the model was not trained on, and for empty cells."""
    is_good = np.isfinite(values)
    rule = "finite values"
    if is_counts:
        is_good &= (values >= 0) & (values == np.round(values))
        rule = "raw counts (non-negative integers)"
    if not is_good.all():
        raise ValueError(
            f"{matrix} must hold {rule}, got {values[~is_good][0]:g}. "
            "Set model.config.matrix to another one, such as 'layers[counts]'."
        )
    empty = np.flatnonzero(~values.any(axis=1))
    if len(empty):
        raise ValueError(
            f"every cell must have a value of some gene of the model, got none in {len(empty)} "
            f"cells, first in row {empty[0]}. Filter them: scanpy.pp.filter_cells."
        )
