"""Open .loom files: a dense matrix of genes x cells, with attributes of both.

Source: the Loom file format specification, version 3.0.0, at linnarssonlab.org/loompy.
"""

from pathlib import Path
from typing import Any

from r2mae.errors import InputError
from r2mae.modalities.cell.data.containers import texts
from r2mae.modalities.cell.data.contents import Contents, check_matrix

_GENE_NAMES = ("Gene", "var_names", "gene_names", "Accession")
_CELL_NAMES = ("CellID", "obs_names", "cell_names")


def open_loom(path: Path, file: Any, matrix: str) -> Contents:
    """Contents of a .loom file, whose attributes become obs and var."""
    layers = file.get("layers", ())
    paths = {"X": "matrix"} | {f"layers[{name}]": f"layers/{name}" for name in layers}
    check_matrix(path, matrix, paths)
    num_genes, num_cells = file[paths[matrix]].shape
    var = _attributes(path, file["row_attrs"], num_genes, _GENE_NAMES)
    obs = _attributes(path, file["col_attrs"], num_cells, _CELL_NAMES)
    return Contents(obs, var, matrix, paths[matrix], paths, by_gene=True)


def _attributes(path: Path, group: Any, length: int, names: tuple[str, ...]) -> Any:
    """One-dimensional attributes as a DataFrame, whose index is the first of names."""
    import pandas as pd

    columns = {}
    for name, values in group.items():
        if len(values.shape) == 1:
            is_text = values.dtype.kind in "OS"
            columns[name] = texts(values) if is_text else values[:]
    if any(len(values) != length for values in columns.values()):
        raise InputError(
            f"{path}: {group.name} must have {length} values, as the matrix has, "
            "got another number. Write the file again."
        )
    index = next((columns[name] for name in names if name in columns), range(length))
    return pd.DataFrame(columns, index=pd.Index([str(name) for name in index]))
