"""Read folders of a Matrix Market file beside the names of its genes and cells.

Cell Ranger, STARsolo, kallisto bustools and GEO name and compress the files differently.
"""

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from scipy import io, sparse

from r2mae.errors import InputError, first_line
from r2mae.modalities.cell.data.contents import Contents

_GENES, _CELLS = ("features", "genes"), ("barcodes", "cells")


def is_mtx(path: Path) -> bool:
    """Whether a path is a Matrix Market file."""
    return path.name.endswith((".mtx", ".mtx.gz"))


def mtx_files(path: Path) -> list[Path]:
    """The matrix, genes and cells of a folder, or of a matrix in one.

    Raises: InputError where one is missing, or the folder has several matrices.
    """
    matrix = path if path.is_file() else _only_matrix(path)
    stem = matrix.name.removesuffix(".gz").removesuffix(".mtx")
    prefixes = [stem.removesuffix("matrix"), f"{stem}_", f"{stem}.", ""]
    return [
        matrix,
        _beside(matrix, prefixes, _GENES),
        _beside(matrix, prefixes, _CELLS),
    ]


def _only_matrix(folder: Path) -> Path:
    """The matrix of a folder: one that ends in matrix.mtx, where there are others."""
    paths = sorted(filter(is_mtx, folder.iterdir()))
    usual = [path for path in paths if "matrix.mtx" in path.name]
    candidates = usual or paths
    if len(candidates) > 1:
        names = ", ".join(path.name for path in candidates[:5])
        raise InputError(
            f"{folder} must have one .mtx file, got {len(candidates)}: {names}. "
            f"Name one, or all by a glob such as {folder}/*{candidates[0].name[-10:]}."
        )
    if not candidates:
        raise InputError(
            f"{folder} must be a zarr folder, or a folder with a matrix.mtx, its genes "
            "or features and its barcodes, got other files. Check the path."
        )
    return candidates[0]


def _beside(matrix: Path, prefixes: list[str], titles: tuple[str, ...]) -> Path:
    names = [
        f"{prefix}{title}.{suffix}"
        for prefix in prefixes
        for title in titles
        for suffix in ("tsv", "tsv.gz", "txt", "txt.gz")
    ]
    for name in names:
        if (matrix.parent / name).is_file():
            return matrix.parent / name
    raise InputError(
        f"{matrix} must have {' or '.join(titles)} beside it, got no {names[0]} "
        "or .tsv.gz. Copy it there."
    )


def open_mtx(path: Path) -> Contents:
    """Read a matrix into memory: Matrix Market text cannot be read in blocks."""
    import pandas as pd

    matrix_path, genes_path, cells_path = mtx_files(path)
    var = _read_genes(genes_path)
    cells = [row[0] for row in _rows(cells_path)]
    matrix = _read_matrix(matrix_path)
    if matrix.shape == (len(var), len(cells)):
        matrix = matrix.T
    elif matrix.shape != (len(cells), len(var)):  # some tools write cells x genes
        raise InputError(
            f"{matrix_path} must have {len(var)} genes x {len(cells)} cells, as "
            f"{genes_path.name} and {cells_path.name} have lines, got "
            f"{matrix.shape[0]} x {matrix.shape[1]}. Delete lines such as a header."
        )
    obs = pd.DataFrame(index=cells)
    return Contents(obs, var, "matrix", in_memory=sparse.csr_matrix(matrix))


def _read_genes(path: Path) -> Any:
    """var of the features: ids, then names and types where there are columns of them."""
    import pandas as pd

    rows = _rows(path)
    ids = [row[0] for row in rows]
    var = pd.DataFrame(
        {"gene_ids": ids}, index=[row[min(1, len(row) - 1)] for row in rows]
    )
    if all(len(row) > 2 for row in rows):
        var["feature_types"] = [row[2] for row in rows]
    return var


def _rows(path: Path) -> list[list[str]]:
    """The tab-separated cells of each line."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            return [line.rstrip("\r\n").split("\t") for line in file]
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(
            f"{path} must be a complete text file, got: {first_line(error)}. Copy it again."
        ) from None


def _read_matrix(path: Path) -> Any:
    try:
        matrix = io.mmread(path)
    except Exception as error:  # scipy's parser raises many kinds
        raise InputError(
            f"{path} must be a complete Matrix Market file, got: {first_line(error)}. "
            "Copy it again."
        ) from None
    if np.iscomplexobj(matrix):
        raise InputError(f"{path} must have real numbers, got complex ones.")
    return matrix
