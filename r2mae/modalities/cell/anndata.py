"""Write features of cells as obsm["X_r2mae"] of an .h5ad."""

import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.atomic import atomic_file
from r2mae.modalities.cell.data.cells import Cells
from r2mae.modalities.cell.data.splits import expand_paths
from r2mae.modalities.cell.data.store import CellStore

KEY = "X_r2mae"


def write_features(
    data: str,
    out: Path,
    features: npt.NDArray[np.float32],
    source: Cells,
    rows: list[int],
) -> None:
    """Write features (N, D) as obsm["X_r2mae"], in a copy of `data` where that is a single .h5ad.

    Otherwise names of cells are beside them and, of several files, obs["file"].
    The file is renamed to `out` when complete.
    """
    paths = expand_paths([], Path(data))
    with atomic_file(out) as unfinished:
        if len(paths) == 1 and paths[0].suffix == ".h5ad" and paths[0].is_file():
            _copy(paths[0], unfinished, features)
        else:
            _write_names(unfinished, features, source.store, rows)


def _write_names(
    unfinished: Path, features: Any, store: CellStore, rows: list[int]
) -> None:
    """Write features beside the names of their cells; stderr reports names that are not unique."""
    import anndata
    import pandas as pd

    obs = pd.DataFrame(index=[store.cell_name(row) for row in rows])
    if len(store.meta["files"]) > 1:
        codes = np.asarray(store.file)[rows]
        obs["file"] = pd.Categorical.from_codes(codes, store.file_names)
    if repeated := int(obs.index.duplicated(keep=False).sum()):
        which = "; obs['file'] tells which is which" if "file" in obs else ""
        note = f"{repeated:,} of {len(obs):,} cells share their name with another"
        print(f"{note}{which}", file=sys.stderr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the same names
        anndata.AnnData(obs=obs, obsm={KEY: features}).write_h5ad(unfinished)


def _copy(data: Path, unfinished: Path, features: Any) -> None:
    """Copy the file and add the features in place, so that no matrix is read."""
    import h5py

    shutil.copyfile(data, unfinished)
    with h5py.File(unfinished, "r+") as file:
        is_old = isinstance(file["obs"], h5py.Dataset)
        if not is_old:
            from anndata.io import write_elem

            group = file.require_group("obsm")
            if not group.attrs.get("encoding-type"):
                group.attrs["encoding-type"], group.attrs["encoding-version"] = (
                    "dict",
                    "0.1.0",
                )
            if KEY in group:
                del group[KEY]
            write_elem(group, KEY, features)
    if is_old:  # written by anndata before 0.7: convert it
        import anndata

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adata = anndata.read_h5ad(unfinished)
            adata.obsm[KEY] = features
            adata.write_h5ad(unfinished)
