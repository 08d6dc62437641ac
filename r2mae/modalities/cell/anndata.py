"""Write features of cells as obsm["X_r2mae"] of an .h5ad."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.atomic import atomic_file

KEY = "X_r2mae"


def write_features(
    data: Path, out: Path, features: npt.NDArray[np.float32], names: list[str]
) -> None:
    """Write a copy of `data` with features (N, D) in obsm["X_r2mae"].

    Where `data` is not an .h5ad, the output has cell names and features alone.
    The file is renamed to `out` when complete.
    """
    with atomic_file(out) as unfinished:
        if data.suffix == ".h5ad":
            _copy(data, unfinished, features)
        else:
            import anndata
            import pandas as pd

            anndata.AnnData(
                obs=pd.DataFrame(index=names), obsm={KEY: features}
            ).write_h5ad(unfinished)


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
        import warnings

        import anndata

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adata = anndata.read_h5ad(unfinished)
            adata.obsm[KEY] = features
            adata.write_h5ad(unfinished)
