"""Choose the genes among the features of a file, and name them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from r2mae.errors import InputError, did_you_mean

Duplicates = Literal["refuse", "sum"]
TYPE_COLUMN = "feature_types"  # of var, as scanpy and muon name it
_GENE_TYPES = {"gene expression", "gex", "gene", "genes", "rna"}
_VERSIONED = re.compile(r"(ENS[A-Z]*G\d{11})\.\d+(_PAR_Y)?")


@dataclass(frozen=True)
class Features:
    """Genes of a file of F features.

    gene_names: G names, all different.
    columns: (F,) int32, index of each feature's gene; -1 for features that are no genes.
    left_out: number of features of each type that is left out, such as antibodies.
    """

    gene_names: list[str]
    columns: npt.NDArray[np.int32]
    left_out: dict[str, int]

    @property
    def num_summed(self) -> int:
        """Features that are added to another one of the same name."""
        return int((self.columns >= 0).sum()) - len(self.gene_names)


def without_version(name: str) -> str:
    """An Ensembl gene id without its version; other names as they are.

    ENSG00000141510.18 becomes ENSG00000141510, and a suffix _PAR_Y is kept.
    """
    match = _VERSIONED.fullmatch(name)
    return match[1] + (match[2] or "") if match else name


def choose_features(
    path: Path, var: Any, genes_by: str, duplicates: Duplicates
) -> Features:
    """Features whose type is gene expression, where var has types; else all. Those without a name are left out.

    var: (F rows) a DataFrame of features.
    genes_by: "index", or the column of var with the gene names.
    duplicates: whether genes of one name are summed or refused.

    Raises: InputError for a missing column, or for names that are not unique.
    """
    is_gene, left_out = _genes_among(var)
    names = gene_names(path, var, genes_by)
    has_name = np.array([name != "" for name in names], dtype=np.bool_)
    if nameless := int((is_gene & ~has_name).sum()):
        left_out = left_out | {"without a name": nameless}
        is_gene = is_gene & has_name
    chosen = [name for name, flag in zip(names, is_gene, strict=True) if flag]
    if duplicates == "refuse":
        _check_unique(path, chosen, var[is_gene], genes_by)
    index_of = {name: index for index, name in enumerate(dict.fromkeys(chosen))}
    columns = np.full(len(names), -1, dtype=np.int32)
    columns[is_gene] = [index_of[name] for name in chosen]
    return Features(list(index_of), columns, left_out)


def _genes_among(var: Any) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    """(F,) which features are genes, and the number of others by type.

    A file without features of gene expression, such as one of peaks, is taken whole.
    """
    if TYPE_COLUMN in var.columns:
        types = var[TYPE_COLUMN].astype(str)
        is_gene = types.str.lower().isin(_GENE_TYPES).to_numpy()
        if is_gene.any():
            others = types[~is_gene].value_counts()
            return is_gene, {str(name): int(n) for name, n in others.items()}
    return np.ones(len(var), dtype=np.bool_), {}


def gene_names(path: Path, var: Any, genes_by: str) -> list[str]:
    """The name of each feature, Ensembl ids without version; "" where it is missing or blank."""
    if genes_by != "index" and genes_by not in var.columns:
        suggestion = did_you_mean(genes_by, ["index", *map(str, var.columns)])
        raise InputError(
            f"{path} must have {genes_by!r} in var, which names its genes, "
            f"got no such column. {suggestion}"
        )
    names = var.index if genes_by == "index" else var[genes_by]
    return as_names(names)


def as_names(column: Any) -> list[str]:
    """Ensembl ids without version and other names of a column; "" where it is missing or blank."""
    names = map(str, column.astype(object).where(column.notna(), ""))
    return [without_version(name) if name.strip() else "" for name in names]


def _check_unique(path: Path, names: list[str], var: Any, genes_by: str) -> None:
    """Raise InputError when two genes have the same name."""
    unique, counts = np.unique(names, return_counts=True)
    duplicates = unique[counts > 1]
    if not len(duplicates):
        return
    examples = ", ".join(map(str, duplicates[:5]))
    columns = [
        str(column)
        for column in var.columns
        if column not in (genes_by, TYPE_COLUMN) and _can_name(var[column])
    ]
    ids = (
        f"Name them by {columns[0]} (genes.by, --genes-by), or sum"
        if columns
        else "Sum"
    )
    raise InputError(
        f"{path} must have unique gene names, got {len(duplicates)} duplicates, "
        f"such as {examples}. {ids} their counts (genes.duplicates: sum, --sum-duplicates)."
    )


def _can_name(column: Any) -> bool:
    """Whether a column of var has a text of its own for each gene."""
    is_text = all(isinstance(name, str) for name in column)
    return is_text and bool(column.is_unique)
