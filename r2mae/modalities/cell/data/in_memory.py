"""An AnnData in memory as cells of a run: written to a temporary store, which goes with the source."""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from r2mae.data.source import SampleSource
from r2mae.errors import InputError, did_you_mean
from r2mae.modalities.cell.data.build import build_store
from r2mae.modalities.cell.data.cells import Cells, CellView
from r2mae.modalities.cell.data.features import TYPE_COLUMN, without_version
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
        raise InputError(str(error).replace(str(file), "AnnData")) from None
    source.folder = folder  # type: ignore[attr-defined] # deleted with the source
    missing = sorted(
        set(map(without_version, genes)) - set(map(without_version, store.gene_names))
    )
    if missing:
        first = ", ".join(missing[:_NUM_NAMED])
        share = f"{len(missing)} of the run's {len(genes)} genes"
        warnings.warn(
            f"{share} are missing and count as not measured, the first {first}.",
            stacklevel=4,
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
    if matrices.get(section.matrix) is None:
        remedy = did_you_mean(section.matrix, matrices)
        raise InputError(
            f"the AnnData must have the matrix {section.matrix!r}, got none. {remedy}"
        )
    dtype = np.dtype(matrices[section.matrix].dtype)
    if dtype.kind not in "biuf":
        raise InputError(
            f"the AnnData must have real numbers in {section.matrix}, got {dtype}."
        )
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
    features = var[types].astype(str).set_axis(names.astype(str), axis=0)
    return anndata.AnnData(
        matrices[section.matrix],
        obs=pd.DataFrame(index=cells.obs_names.astype(str)),
        var=features,
    )
