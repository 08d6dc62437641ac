"""Features of cells into an .h5ad, beside everything that the input had."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

KEY = "X_r2mae"


def write_features(
    data: Path, out: Path, features: npt.NDArray[np.float32], names: list[str]
) -> None:
    """Copy an .h5ad and add obsm["X_r2mae"] (N, D); other kinds of files give an .h5ad of names and features.

    The file gets its name when it is whole.
    """
    unfinished = out.with_name(f".writing_{out.name}")
    try:
        if data.suffix == ".h5ad":
            _copy(data, unfinished, features)
        else:
            import anndata
            import pandas as pd

            anndata.AnnData(
                obs=pd.DataFrame(index=names), obsm={KEY: features}
            ).write_h5ad(unfinished)
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)


def _copy(data: Path, unfinished: Path, features: Any) -> None:
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
    if is_old:  # as anndata wrote before 0.7: read and written anew
        import warnings

        import anndata

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = anndata.read_h5ad(unfinished)
            whole.obsm[KEY] = features
            whole.write_h5ad(unfinished)
