"""Open files of cells: AnnData and MuData in HDF5 or zarr, 10x .h5, .mtx folders and .loom."""

from pathlib import Path
from typing import Any

from r2mae.errors import InputError, first_line
from r2mae.modalities.cell.data.anndata_files import open_anndata_group, open_mudata
from r2mae.modalities.cell.data.blocks import CellFile
from r2mae.modalities.cell.data.containers import is_zarr, open_container
from r2mae.modalities.cell.data.contents import Contents
from r2mae.modalities.cell.data.features import Duplicates, choose_features
from r2mae.modalities.cell.data.loom import open_loom
from r2mae.modalities.cell.data.mtx import is_mtx, mtx_files, open_mtx
from r2mae.modalities.cell.data.ten_x import genomes_of, open_ten_x

_HDF5 = (".h5ad", ".h5", ".hdf5", ".h5mu", ".loom")


def open_file(
    path: Path,
    matrix: str = "X",
    genes_by: str = "index",
    duplicates: Duplicates = "refuse",
    *,
    round_counts: bool = False,
) -> CellFile:
    """Read gene names, cell names and obs of a file; `CellFile.blocks` reads the matrix.

    matrix: "X", "raw" or "layers[NAME]"; of a MuData also "NAME:X"; of a 10x .h5 of
        version 2, its genome.
    genes_by: "index", or the column of var with the gene names.
    duplicates: whether counts of genes of one name are summed, or the file is refused.
    round_counts: round counts that are not whole, such as SoupX's.

    Raises: InputError when the file is missing, truncated or of an unsupported format,
        or lacks the matrix or the column, or has a gene name twice.
    """
    contents = _read_contents(path, matrix)
    features = choose_features(path, contents.var, genes_by, duplicates)
    return CellFile(
        path,
        contents,
        features,
        cell_names=contents.obs.index.to_numpy(dtype=str),
        round_counts=round_counts,
    )


def files_of(path: Path) -> list[Path]:
    """All files that are read with a path: of a folder, or beside a matrix."""
    if is_mtx(path):
        return mtx_files(path)
    if path.is_dir():
        return sorted(part for part in path.rglob("*") if part.is_file())
    return [path]


def _read_contents(path: Path, matrix: str) -> Contents:
    if not path.exists():
        raise InputError(f"{path} must be an existing file. Check the path.")
    if is_mtx(path) or (path.is_dir() and not is_zarr(path)):
        return open_mtx(path)
    if path.is_file() and path.suffix not in _HDF5:
        raise InputError(
            f"{path} must end in .h5ad, .h5, .h5mu, .loom or .mtx, or be a zarr or "
            f"10x folder, got {path.suffix!r}. Convert it, for example with scanpy."
        )
    try:
        with open_container(path) as root:
            return _read_root(path, root, matrix)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        what = "zarr folder" if path.is_dir() else "HDF5 file"
        raise InputError(
            f"{path} must be a complete {what} of cells, got: {first_line(error)}. "
            "Copy or write it again."
        ) from None


def _read_root(path: Path, root: Any, matrix: str) -> Contents:
    """Contents of an HDF5 file or zarr folder, whose layout tells its format."""
    if "mod" in root:
        return open_mudata(path, root, matrix)
    if "row_attrs" in root and "col_attrs" in root:
        return open_loom(path, root, matrix)
    if "obs" not in root and ("matrix" in root or genomes_of(root)):
        return open_ten_x(path, root, matrix)
    return open_anndata_group(path, root, matrix)
