"""Open .h5ad files and zarr folders of AnnData, and .h5mu files of MuData."""

import warnings
from pathlib import Path
from typing import Any

from r2mae.errors import InputError
from r2mae.modalities.cell.data.containers import is_array
from r2mae.modalities.cell.data.contents import Contents, check_matrix

_GENE_MODALITIES = ("rna", "gex", "gene expression")


def matrices(group: Any) -> dict[str, str]:
    """Name -> path in the group, of every matrix of an AnnData."""
    paths = {"X": "X", "raw": "raw/X"}
    for layer in group.get("layers", ()):
        paths[f"layers[{layer}]"] = f"layers/{layer}"
    return {name: place for name, place in paths.items() if _has(group, place)}


def _has(group: Any, place: str) -> bool:
    """Whether a group has a matrix; anndata also writes None, as an array without shape."""
    for name in place.split("/"):
        if is_array(group) or name not in group:
            return False
        group = group[name]
    return not is_array(group) or bool(group.shape)


def open_anndata_group(path: Path, group: Any, matrix: str) -> Contents:
    """Contents of an AnnData, at the root of a file or below it."""
    from anndata.io import read_elem

    for name in ("obs", "var"):
        if name not in group:
            raise InputError(f"{path} must have obs and var, got no {name}.")
    paths = matrices(group)
    check_matrix(path, matrix, paths)
    if is_array(group["obs"]):  # written by anndata before 0.7
        obs, var = _old_frames(path, matrix)
    else:
        obs = read_elem(group["obs"])
        var = read_elem(group["raw/var" if matrix == "raw" else "var"])
    shape = _shape(group[paths[matrix]])
    if shape != (len(obs), len(var)):
        raise InputError(
            f"{path}: {matrix} must have {len(obs)} cells x {len(var)} genes, as obs "
            f"and var have, got {shape[0]} x {shape[1]}. Write the file again."
        )
    return Contents(obs, var, matrix, paths[matrix], paths)


def _old_frames(path: Path, matrix: str) -> tuple[Any, Any]:
    """obs and var of a file of anndata before 0.7, which only anndata can convert."""
    import anndata

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = anndata.read_h5ad(path)
    return adata.obs, adata.raw.var if matrix == "raw" else adata.var


def _shape(matrix: Any) -> tuple[int, ...]:
    if is_array(matrix):
        return tuple(matrix.shape)
    shape = matrix.attrs.get("shape", matrix.attrs.get("h5sparse_shape"))
    return tuple(int(extent) for extent in shape)


def open_mudata(path: Path, root: Any, matrix: str) -> Contents:
    """Contents of a modality of a MuData.

    matrix: of the modality rna or of the only one; "NAME:X" is that of another.
    """
    names = list(root["mod"])
    before, _, after = matrix.partition(":")
    if before in names:
        modality, matrix = before, after
    else:
        genes = [name for name in names if name.lower() in _GENE_MODALITIES]
        candidates = genes or names
        if len(candidates) != 1:
            raise InputError(
                f"{path} must have one modality of genes, got {', '.join(names)}. "
                f"Choose one: data.matrix, or --matrix, {names[0]}:X for example."
            )
        modality = candidates[0]
    contents = open_anndata_group(path, root["mod"][modality], matrix)
    others = {name: _num_features(root["mod"][name]) for name in names}
    del others[modality]
    return contents.moved(
        f"mod/{modality}/", f"{modality}:", _with_shared(contents.obs, root), others
    )


def _num_features(group: Any) -> int:
    from anndata.io import read_elem

    return len(read_elem(group["var"]))


def _with_shared(obs: Any, root: Any) -> Any:
    """obs of a modality, with the columns that MuData keeps for all modalities."""
    from anndata.io import read_elem

    shared = read_elem(root["obs"])
    if not (shared.index.is_unique and obs.index.is_unique):
        return obs
    names = [name for name in shared.columns if name not in obs.columns]
    return obs.join(shared[names])
