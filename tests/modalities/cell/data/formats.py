"""Writers of counts (cells, genes) in the formats that other tools write."""

import gzip

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy import io, sparse

TYPES = ("Gene Expression", "Antibody Capture")


def genes(count):
    return [f"gene_{n}" for n in range(count)]


def frames(counts):
    """obs and var with ids of genes."""
    num_cells, num_genes = counts.shape
    var = pd.DataFrame({"gene_ids": [f"ENSG{n}" for n in range(num_genes)]})
    obs = pd.DataFrame({"kind": ["a", "b"] * num_cells})[:num_cells]
    return (
        obs.set_index(pd.Index([f"c{n}" for n in range(num_cells)])),
        var.set_index(pd.Index(genes(num_genes))),
    )


def as_anndata(counts, matrix=None):
    obs, var = frames(counts)
    return anndata.AnnData(counts if matrix is None else matrix, obs=obs, var=var)


def h5ad(change):
    """A writer of an .h5ad whose X is `change` of the counts."""

    def write(folder, counts):
        as_anndata(counts, change(counts)).write_h5ad(folder / "a.h5ad")
        return folder / "a.h5ad"

    return write


def unsorted(counts):
    """CSR whose genes fall within each cell."""
    matrix = sparse.csr_matrix(counts)
    for start, stop in zip(matrix.indptr, matrix.indptr[1:], strict=False):
        for array in (matrix.data, matrix.indices):
            array[start:stop] = array[start:stop][::-1].copy()
    return matrix


def doubled(counts):
    """CSR with each entry split in two of the same gene, the first of them 1."""
    matrix = sparse.csr_matrix(counts)
    first = np.ones_like(matrix.data)
    data = np.stack([first, matrix.data - first], axis=1).ravel()
    indices = np.repeat(matrix.indices, 2)
    return sparse.csr_matrix((data, indices, matrix.indptr * 2), shape=counts.shape)


def compressed(change):
    """A writer of an .h5ad in chunks that gzip compressed."""

    def write(folder, counts):
        path = folder / "a.h5ad"
        as_anndata(counts, change(counts)).write_h5ad(path, compression="gzip")
        return path

    return write


def before_07(folder, counts):
    """An .h5ad as anndata wrote it before version 0.7: frames are compound arrays."""
    matrix = sparse.csr_matrix(counts)
    obs, var = frames(counts)
    with h5py.File(folder / "a.h5ad", "w") as file:
        for part in ("data", "indices", "indptr"):
            file[f"X/{part}"] = getattr(matrix, part)
        file["X"].attrs["h5sparse_format"] = "csr"
        file["X"].attrs["h5sparse_shape"] = matrix.shape
        columns = {"obs": [("index", obs.index), ("kind", obs["kind"])]}
        columns["var"] = [("index", var.index), ("gene_ids", var["gene_ids"])]
        for name, parts in columns.items():
            rows = np.zeros(len(parts[0][1]), [(title, "S12") for title, _ in parts])
            for title, values in parts:
                rows[title] = np.array(values, dtype="S12")
            file[name] = rows
    return folder / "a.h5ad"


def zarr(change, version=3):
    def write(folder, counts):
        anndata.settings.zarr_write_format = version
        try:
            as_anndata(counts, change(counts)).write_zarr(folder / "a.zarr")
        finally:
            anndata.settings.reset("zarr_write_format")
        return folder / "a.zarr"

    return write


def ten_x_group(file, name, counts, version=3, types=None):
    """A 10x matrix of Cell Ranger 2 or 3 in a group."""
    matrix = sparse.csc_matrix(counts.T)
    group = file.create_group(name)
    for part in ("data", "indices", "indptr"):
        group[part] = getattr(matrix, part).astype(np.int64)
    group["shape"] = np.array(matrix.shape)
    obs, var = frames(counts)
    group["barcodes"] = np.array(obs.index, dtype="S")
    features = group if version == 2 else group.create_group("features")
    titles = ("gene_names", "genes") if version == 2 else ("name", "id")
    features[titles[0]] = np.array(var.index, dtype="S")
    features[titles[1]] = np.array(var["gene_ids"], dtype="S")
    if version == 3:
        types = types or [TYPES[0]] * len(var)
        features["feature_type"] = np.array(types, dtype="S")


def ten_x(version, *names, types=None):
    """A writer of a 10x .h5, whose n-th group has n times the counts."""

    def write(folder, counts):
        with h5py.File(folder / "a.h5", "w") as file:
            for number, name in enumerate(names, 1):
                ten_x_group(file, name, counts * number, version, types)
        return folder / "a.h5"

    return write


def write_text(path, text):
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt") as file:
        file.write(text)


def mtx(
    matrix="matrix.mtx.gz",
    features="features.tsv.gz",
    cells="barcodes.tsv.gz",
    *,
    columns=3,
    by_cell=False,
    symbols=None,
    types=None,
):
    """A writer of a folder with a Matrix Market file.

    columns: of the file of features: id, name, type. by_cell: cells x genes.
    """

    def write(folder, counts):
        place = folder / "mtx"
        place.mkdir(exist_ok=True)
        obs, var = frames(counts)
        rows = list(
            zip(
                var["gene_ids"],
                symbols or var.index,
                types or [TYPES[0]] * len(var),
                strict=True,
            )
        )
        if columns == 1:
            rows = [(name,) for name in var.index]
        lines = ["\t".join(row[:columns]) for row in rows]
        write_text(place / features, "\n".join(lines) + "\n")
        write_text(place / cells, "\n".join(obs.index) + "\n")
        written = sparse.coo_matrix(counts if by_cell else counts.T)
        opened = gzip.open if matrix.endswith(".gz") else open
        with opened(place / matrix, "wb") as file:
            io.mmwrite(file, written.astype(int))
        return place

    return write


def loom(folder, counts):
    obs, var = frames(counts)
    path = folder / "a.loom"
    with h5py.File(path, "w") as file:
        file["matrix"] = counts.T
        file["layers/spliced"] = counts.T * 2
        file["row_attrs/Gene"] = np.array(var.index, dtype=object)
        file["row_attrs/Accession"] = np.array(var["gene_ids"], dtype=object)
        file["col_attrs/CellID"] = np.array(obs.index, dtype=object)
        file["col_attrs/kind"] = np.array(obs["kind"], dtype=object)
        file["col_attrs/umap"] = np.zeros((len(obs), 2))
    return path


def h5mu(*names):
    """A writer of a MuData, whose n-th modality has n times the counts."""

    def write(folder, counts):
        from anndata.io import write_elem

        obs, _ = frames(counts)
        path = folder / "a.h5mu"
        with h5py.File(path, "w") as file:
            for number, name in enumerate(names, 1):
                cells = as_anndata(counts * number, sparse.csr_matrix(counts * number))
                write_elem(file, f"mod/{name}", cells)
            shared = pd.DataFrame({"donor": ["d"] * len(obs)}, index=obs.index)
            write_elem(file, "obs", shared)
        return path

    return write
