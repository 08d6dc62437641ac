"""Open files of cells: .h5ad (dense, CSR, CSC), 10x .h5 and 10x .mtx folders."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from r2mae.errors import InputError, did_you_mean, first_line
from r2mae.modalities.cell.data.blocks import CellFile, matrices


def open_file(path: Path, matrix: str = "X", genes_by: str = "index") -> CellFile:
    """Read gene names, cell names and obs of a file; `CellFile.blocks` reads the matrix.

    matrix: "X", "raw" or "layers[NAME]" of an .h5ad.
    genes_by: "index", or the column of var with the gene names.

    Raises: InputError when the file is missing, truncated or of an unsupported format, or lacks the
        matrix or the column.
    """
    if path.is_dir() or path.suffix in (".mtx", ".gz"):
        return _open_mtx(path, genes_by)
    if not path.is_file():
        raise InputError(f"{path} must be an existing file. Check the path.")
    if path.suffix not in (".h5ad", ".h5"):
        raise InputError(
            f"{path} must end in .h5ad or .h5, or be a 10x folder with matrix.mtx, got {path.suffix!r}."
        )
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if "matrix" in file and "X" not in file:
                return _open_10x(path, file["matrix"], genes_by)
            return _open_h5ad(path, file, matrix, genes_by)
    except InputError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{path} must be a whole HDF5 file of cells, got: {first_line(error)}. Copy or write it again."
        ) from None


def _open_h5ad(path: Path, file: Any, matrix: str, genes_by: str) -> CellFile:
    import h5py
    from anndata.io import read_elem

    for group in ("obs", "var"):
        if group not in file:
            raise InputError(
                f"{path} must be an .h5ad with obs and var, got no {group}."
            )
    paths = matrices(file)
    if matrix not in paths:
        suggestion = did_you_mean(matrix, paths)
        raise InputError(
            f"{path} must have the matrix {matrix!r}, got {', '.join(paths) or 'none'}. {suggestion}"
        )
    if isinstance(file["obs"], h5py.Dataset):  # written by anndata before 0.7
        obs, var = _old_frames(path, matrix)
    else:
        obs = read_elem(file["obs"])
        var = read_elem(file["raw/var" if matrix == "raw" else "var"])
    shape = _shape(file[paths[matrix]])
    if shape != (len(obs), len(var)):
        raise InputError(
            f"{path}: {matrix} must have {len(obs)} cells x {len(var)} genes, as obs and var have, "
            f"got {shape[0]} x {shape[1]}. Write the file again."
        )
    names = _gene_names(path, var, genes_by)
    return CellFile(path, matrix, names, obs.index.to_numpy(dtype=str), obs)


def _old_frames(path: Path, matrix: str) -> tuple[Any, Any]:
    """obs and var of a file of anndata before 0.7, which only anndata itself can convert."""
    import warnings

    import anndata

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = anndata.read_h5ad(path)
    return adata.obs, adata.raw.var if matrix == "raw" else adata.var


def _shape(matrix: Any) -> tuple[int, ...]:
    import h5py

    if isinstance(matrix, h5py.Dataset):
        return tuple(matrix.shape)
    shape = matrix.attrs.get("shape", matrix.attrs.get("h5sparse_shape"))
    return tuple(int(extent) for extent in shape)


def _gene_names(path: Path, var: Any, genes_by: str) -> list[str]:
    if genes_by != "index" and genes_by not in var.columns:
        suggestion = did_you_mean(genes_by, ["index", *map(str, var.columns)])
        raise InputError(
            f"{path} must have {genes_by!r} in var, which names its genes, got no such column. {suggestion}"
        )
    return [str(name) for name in (var.index if genes_by == "index" else var[genes_by])]


def _open_10x(path: Path, matrix: Any, genes_by: str) -> CellFile:
    import pandas as pd

    features = matrix.get("features", matrix)
    columns = {
        "index": "name" if "name" in features else "gene_names",
        "gene_ids": "id" if "id" in features else "genes",
    }
    if genes_by not in columns:
        raise InputError(
            f"{path} must name its genes by {' or '.join(columns)}, got {genes_by!r}. "
            f"{did_you_mean(genes_by, columns)}"
        )
    genes = [name.decode() for name in features[columns[genes_by]][:]]
    cells = np.array([name.decode() for name in matrix["barcodes"][:]])
    if tuple(matrix["shape"][:]) != (len(genes), len(cells)):
        raise InputError(
            f"{path} must have a shape of {len(genes)} genes x {len(cells)} cells, "
            f"got {matrix['shape'][:]}. Copy or write the file again."
        )
    return CellFile(path, "matrix", genes, cells, pd.DataFrame(index=cells))


def _open_mtx(path: Path, genes_by: str) -> CellFile:
    """A 10x folder, read into memory: Matrix Market text cannot be read in blocks."""
    folder = path if path.is_dir() else path.parent
    if not any(folder.glob("*matrix.mtx*")):
        raise InputError(
            f"{path} must be a 10x folder with matrix.mtx, genes or features, and barcodes, got no matrix.mtx."
        )
    import scanpy

    try:
        adata = scanpy.read_10x_mtx(folder, var_names="gene_symbols", make_unique=False)
    except Exception as error:
        raise InputError(
            f"{folder} must be a whole 10x folder, got: {first_line(error)}. Copy it again."
        ) from None
    names = _gene_names(path, adata.var, genes_by)
    cells = adata.obs_names.to_numpy(dtype=str)
    return CellFile(
        folder, "matrix", names, cells, adata.obs, sparse.csr_matrix(adata.X)
    )
