"""An AnnData in memory as cells of a run: written to a temporary store, which goes with the source."""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from r2mae.data.source import SampleSource
from r2mae.errors import InputError, did_you_mean
from r2mae.modalities.cell.data.blocks import looks_raw
from r2mae.modalities.cell.data.build import build_store
from r2mae.modalities.cell.data.cells import Cells, CellView
from r2mae.modalities.cell.data.features import (
    TYPE_COLUMN,
    as_names,
    without_version,
)
from r2mae.modalities.cell.data.scan import BuildOptions
from r2mae.modalities.cell.data.splits import refuse_empty_cells, vocabulary
from r2mae.modalities.cell.schema import CellData, GenesSection

_MIN_OVERLAP = 0.5  # as `r2mae embed` without --min-overlap
_NUM_NAMED = 5


def open_anndata(section: CellData, cells: Any, view: CellView) -> SampleSource:
    """All cells of an AnnData, its genes matched by name; missing ones count as not measured, and are warned of.

    Raises: InputError for other objects, for fewer than half of the genes, and for cells without any of them.
    """
    import anndata

    if not isinstance(cells, anndata.AnnData):
        got = type(cells).__name__
        raise InputError(f"objects must be an AnnData of cells, got {got}.")
    folder = tempfile.TemporaryDirectory(prefix="r2mae_cells_")
    place = Path(folder.name)
    file = place / "AnnData.h5ad"
    _minimal(cells, section).write_h5ad(file)
    genes_section = GenesSection(min_cells=0, duplicates=section.genes.duplicates)
    options = BuildOptions("X", section.values, section.round_counts, genes_section)
    genes = vocabulary(section)
    try:
        store = build_store(place / "store", [file], options)
        source = Cells(store, genes, view, least_overlap=_MIN_OVERLAP)
        refuse_empty_cells(source, "AnnData")
    except InputError as error:  # names the temporary file
        folder.cleanup()
        message = str(error).replace(f"{file}: X ", f"AnnData: {section.matrix} ")
        raise InputError(message.replace(str(file), "AnnData")) from None
    source.folder = folder  # type: ignore[attr-defined] # deleted with the source
    missing = sorted(
        set(map(without_version, genes)) - set(map(without_version, store.gene_names))
    )
    if missing:
        first = ", ".join(missing[:_NUM_NAMED])
        share = f"{len(missing)} of the run's {len(genes)} genes"
        warnings.warn(
            f"{share} are missing and count as not measured, the first {first}.",
            stacklevel=6,
        )
    return source


def _minimal(cells: Any, section: CellData) -> Any:
    """The matrix that the run reads, with names of cells and genes and nothing else."""
    import anndata
    import pandas as pd

    matrices = {"X": cells.X}
    for name in cells.layers:
        matrices[f"layers[{name}]"] = cells.layers[name]
    if cells.raw is not None:
        matrices["raw"] = cells.raw.X
    matrices = {name: each for name, each in matrices.items() if each is not None}
    _check_matrix(section, matrices)
    by = section.genes.by
    var = cells.raw.var if section.matrix == "raw" else cells.var
    if by != "index" and by not in var.columns:
        columns = map(str, var.columns)
        remedy = did_you_mean(by, ["index", *columns])
        raise InputError(
            f"the AnnData must have {by!r} in var to name its genes, got none. {remedy}"
        )
    names = var.index if by == "index" else var[by]
    types = [TYPE_COLUMN] if TYPE_COLUMN in var.columns else []
    features = var[types].astype(str).set_axis(as_names(names), axis=0)
    return anndata.AnnData(
        matrices[section.matrix],
        obs=pd.DataFrame(index=cells.obs_names.astype(str)),
        var=features,
    )


def _first_values(matrix: Any) -> npt.NDArray[Any]:
    """Values of the first cells of a matrix, sparse or not, backed by a file or not."""
    first = matrix[:50]
    return np.asarray(first.data if sparse.issparse(first) else first)


def _check_matrix(section: CellData, matrices: dict[str, Any]) -> None:
    """Raise InputError unless the matrix that the run reads is there, and of numbers.

    Where it must hold raw counts and does not, one that looks raw is named.
    """
    name = section.matrix
    if name not in matrices:
        raise InputError(
            f"the AnnData must have the matrix {name!r}, got {', '.join(matrices) or 'none'}. "
            "Name another one, as in run.embed(adata, matrix='X')."
        )
    dtype = np.dtype(matrices[name].dtype)
    if dtype.kind not in "biuf":
        raise InputError(f"the AnnData must have real numbers in {name}, got {dtype}.")
    sample = _first_values(matrices[name])
    if section.values != "counts" or section.round_counts or not sample.size:
        return
    if looks_raw(sample):
        return
    for other, matrix in matrices.items():
        if looks_raw(_first_values(matrix)):
            raise InputError(
                f"the AnnData must have raw counts in {name}, got other values. "
                f"{other} looks raw: run.embed(adata, matrix={other!r})."
            )
