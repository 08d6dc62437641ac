"""Open the .h5 files of Cell Ranger, of version 3 and later and of version 2."""

from pathlib import Path
from typing import Any

from r2mae.errors import InputError
from r2mae.modalities.cell.data.containers import is_array, texts
from r2mae.modalities.cell.data.contents import Contents


def open_ten_x(path: Path, file: Any, matrix: str) -> Contents:
    """Contents of a 10x .h5 file.

    matrix: the genome of a file of version 2 with several; else it is not looked at.
    """
    import pandas as pd

    name = "matrix" if "matrix" in file else _genome(path, file, matrix)
    group = file[name]
    features = group.get("features", group)
    symbols = texts(features["name" if "name" in features else "gene_names"])
    columns = {"gene_ids": texts(features["id" if "id" in features else "genes"])}
    if "feature_type" in features:
        columns["feature_types"] = texts(features["feature_type"])
    var = pd.DataFrame(columns, index=symbols)
    obs = pd.DataFrame(index=texts(group["barcodes"]))
    shape = tuple(int(extent) for extent in group["shape"][:])
    if shape != (len(var), len(obs)):
        raise InputError(
            f"{path} must have a shape of {len(var)} genes x {len(obs)} cells, "
            f"got {shape[0]} x {shape[1]}. Copy or write the file again."
        )
    return Contents(obs, var, name, name, {name: name})


def _genome(path: Path, file: Any, matrix: str) -> str:
    """The group of a file of Cell Ranger 2, which is named after a genome."""
    genomes = genomes_of(file)
    if matrix in genomes:
        return matrix
    if len(genomes) > 1:
        raise InputError(
            f"{path} must have one genome or a choice of one, got {', '.join(genomes)}. "
            f"Choose it: data.matrix, or --matrix, {genomes[0]} for example."
        )
    return genomes[0]


def genomes_of(file: Any) -> list[str]:
    """Names of the groups with a matrix of Cell Ranger 2."""
    groups = [name for name in file if not is_array(file[name])]
    return [
        name for name in groups if "barcodes" in file[name] and "indptr" in file[name]
    ]
