"""Reading what others write: kinds of files agree, and each mistake is one line."""

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse

from r2mae.errors import InputError
from r2mae.modalities.cell.data import matrix as cell_matrix
from r2mae.modalities.cell.data.files import open_file
from tests.conftest import make_cells
from tests.modalities.cell.data.formats import (
    as_anndata,
    before_07,
    compressed,
    doubled,
    h5ad,
    h5mu,
    loom,
    mtx,
    ten_x,
    unsorted,
    zarr,
)


def whole(path, values="counts", **options):
    """(cells, genes) of a file, from its blocks."""
    blocks = list(open_file(path, **options).blocks(values))
    assert [first for first, _ in blocks] == np.cumsum(
        [0, *(block.shape[0] for _, block in blocks)]
    )[:-1].tolist()
    return np.concatenate([block.toarray() for _, block in blocks])


def write(path, matrix, **more):
    cells = make_cells(*matrix.shape)
    anndata.AnnData(matrix, obs=cells.obs, var=cells.var, **more).write_h5ad(path)
    return path


@pytest.fixture
def counts():
    return make_cells(50, 20).X.toarray()


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("block", [7, 60, 10_000])
def test_kinds_of_matrices_agree(kind, block, counts, tmp_path, monkeypatch):
    monkeypatch.setattr(cell_matrix, "BLOCK_ENTRIES", block)
    path = write(tmp_path / "a.h5ad", kind(counts), layers={"more": kind(counts * 2)})
    assert np.array_equal(whole(path), counts)
    assert np.array_equal(whole(path, matrix="layers[more]"), counts * 2)


def test_raw_has_genes_of_its_own(counts, tmp_path):
    cells = make_cells(50, 20)
    cells.raw = cells.copy()
    cells[:, :5].write_h5ad(tmp_path / "a.h5ad")
    assert len(open_file(tmp_path / "a.h5ad").gene_names) == 5
    assert np.array_equal(whole(tmp_path / "a.h5ad", matrix="raw"), counts)


def spoil(change):
    def write_spoilt(path, counts):
        write(path, sparse.csr_matrix(counts))
        with h5py.File(path, "r+") as file:
            change(file)

    return write_spoilt


def spoilt_entry(name, at, value):
    def change(file):
        file[f"X/{name}"][at] = value

    return spoil(change)


BAD = {
    "logs": (
        lambda path, counts: write(path, np.log1p(counts), layers={"counts": sparse.csr_matrix(counts)}),
        r"raw counts \(non-negative integers\), got .* for gene_\d+ in cell cell_0. layers\[counts\] looks raw",
    ),
    "no raw elsewhere": (lambda path, counts: write(path, np.log1p(counts)), "No other matrix of the file looks raw"),
    "a fraction": (spoilt_entry("data", 30, 1.5), "got 1.5 for"),
    "a negative": (spoilt_entry("data", 30, -1), "got -1 for"),
    "a nan": (spoilt_entry("data", 30, np.nan), "got nan for"),
    "an index too high": (spoilt_entry("indices", 30, 99), "indices from 0 to below its 20 features, got 99"),
    "an index below 0": (spoilt_entry("indices", 30, -2), "indices from 0 to below its 20 features, got -2"),
    "falling pointers": (spoilt_entry("indptr", 3, 1_000_000), "indptr of 51 rising offsets"),
    "no obs": (spoil(lambda file: file.__delitem__("obs")), "must have obs and var, got no obs"),
    "no X": (spoil(lambda file: file.__delitem__("X")), "must have the matrix 'X'"),
    "another shape": (spoil(lambda file: file["X"].attrs.__setitem__("shape", (50, 21))), "50 x 21"),
    "truncated": (
        lambda path, counts: path.write_bytes(write(path, counts).read_bytes()[:3000]),
        "a complete HDF5 file",
    ),
    "text": (lambda path, counts: path.write_text("gene,count\n"), "a complete HDF5 file"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_line(name, counts, tmp_path):
    spoilt, message = BAD[name]
    path = tmp_path / "a.h5ad"
    spoilt(path, counts)
    with pytest.raises(InputError, match=message) as found:
        whole(path)
    assert "\n" not in str(found.value)
    assert "a.h5ad" in str(found.value)


def test_names_that_are_not_there(counts, tmp_path):
    write(tmp_path / "a.h5ad", counts)
    for options, message in (
        ({"matrix": "layers[nope]"}, "must have the matrix 'layers\\[nope\\]', got X"),
        ({"genes_by": "ids"}, "must have 'ids' in var"),
    ):
        with pytest.raises(InputError, match=message):
            open_file(tmp_path / "a.h5ad", **options)
    for path, message in (("b.h5ad", "existing file"), ("a.csv", "existing file")):
        with pytest.raises(InputError, match=message):
            open_file(tmp_path / path)
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(InputError, match=r"must end in .h5ad, .h5, .h5mu"):
        open_file(tmp_path / "a.csv")


READ = {
    # wrong or refused once
    "dense float16": h5ad(lambda counts: counts.astype(np.float16)),
    "10x of version 2": ten_x(2, "hg19"),
    "mtx of version 3, not compressed": mtx(
        "matrix.mtx", "features.tsv", "barcodes.tsv"
    ),
    "mtx of GEO, prefixed": mtx(
        "GSM1_matrix.mtx.gz", "GSM1_genes.tsv.gz", "GSM1_barcodes.tsv.gz", columns=2
    ),
    "mtx of version 2, compressed": mtx("matrix.mtx.gz", "genes.tsv.gz", columns=2),
    "mtx of one column of genes": mtx(features="genes.tsv.gz", columns=1),
    "mtx of cells x genes": mtx(
        "matrix.mtx", "features.tsv", "barcodes.tsv", by_cell=True
    ),
    "mtx of bustools": mtx(
        "cells_x_genes.mtx",
        "cells_x_genes.genes.txt",
        "cells_x_genes.barcodes.txt",
        columns=1,
        by_cell=True,
    ),
    "loom": loom,
    "zarr, dense": zarr(np.asarray),
    "zarr, CSR": zarr(sparse.csr_matrix),
    "zarr, CSC, version 2": zarr(sparse.csc_matrix, version=2),
    "MuData with rna": h5mu("rna", "prot"),
    "doubled entries, CSR": h5ad(doubled),
    "doubled entries, CSC": h5ad(lambda counts: doubled(counts.T.copy()).T),
    # right from the start
    "10x of version 3": ten_x(3, "matrix"),
    "mtx of version 3": mtx(),
    "mtx of version 2": mtx("matrix.mtx", "genes.tsv", "barcodes.tsv", columns=2),
    "CSR, unsorted": h5ad(unsorted),
    "dense, compressed": compressed(np.asarray),
    "CSC, compressed": compressed(sparse.csc_matrix),
    "anndata before 0.7": before_07,
    **{
        f"{name} {dtype}": h5ad(lambda counts, k=kind, d=dtype: k(counts.astype(d)))
        for name, kind in (("dense", np.asarray), ("CSC", sparse.csc_matrix))
        for dtype in ("uint8", "int32", "uint64", "float64")
    },
}


@pytest.mark.parametrize("block", [200, 10_000])
@pytest.mark.parametrize("name", READ)
def test_formats_of_other_tools_agree(name, block, counts, tmp_path, monkeypatch):
    monkeypatch.setattr(cell_matrix, "BLOCK_ENTRIES", block)
    path = READ[name](tmp_path, counts)
    assert np.array_equal(whole(path), counts)
    file = open_file(path)
    assert file.gene_names == [f"gene_{n}" for n in range(20)]
    assert file.cell_names[[0, -1]].tolist() == ["c0", "c49"]
    if "one column" not in name and "bustools" not in name:
        by = "Accession" if name == "loom" else "gene_ids"
        assert open_file(path, genes_by=by).gene_names[3] == "ENSG3"


def test_bool_counts_are_numbers(counts, tmp_path):
    def split(counts):
        matrix = doubled(counts)
        matrix.data = matrix.data > 0
        return matrix

    assert np.array_equal(whole(h5ad(split)(tmp_path, counts)), np.minimum(counts, 2))


CHOSEN = {
    "genome": (ten_x(2, "hg19", "mm10"), "mm10"),
    "layer of a loom": (loom, "layers[spliced]"),
    "modality": (h5mu("rna", "other"), "other:X"),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_a_matrix_is_chosen(name, counts, tmp_path):
    write_cells, matrix = CHOSEN[name]
    path = write_cells(tmp_path, counts)
    assert np.array_equal(whole(path, matrix=matrix), counts * 2)


REFUSED = {
    "two genomes": (ten_x(2, "hg19", "mm10"), "got hg19, mm10. Choose it: data.matrix, or --matrix, hg19"),
    "modalities without rna": (h5mu("one", "two"), "one modality of genes, got one, two"),
    "no barcodes": (
        lambda folder, counts: remove(mtx()(folder, counts), "barcodes.tsv.gz"),
        "must have barcodes or cells beside it, got no barcodes.tsv",
    ),
    "no mtx": (
        lambda folder, counts: remove(mtx()(folder, counts), "matrix.mtx.gz"),
        "must be a zarr folder, or a folder with a matrix.mtx",
    ),
    "two mtx": (
        lambda folder, counts: [
            mtx(f"{name}_matrix.mtx")(folder, counts) for name in "ab"
        ][-1],
        "one .mtx file, got 2: a_matrix.mtx, b_matrix.mtx",
    ),
    "a header": (
        lambda folder, counts: head(mtx(features="genes.tsv")(folder, counts)),
        "must have 21 genes x 50 cells.* got 20 x 50. Delete lines such as a header",
    ),
    "truncated mtx": (
        lambda folder, counts: cut(mtx()(folder, counts), "matrix.mtx.gz"),
        "a complete Matrix Market file",
    ),
    "truncated barcodes": (
        lambda folder, counts: cut(mtx()(folder, counts), "barcodes.tsv.gz"),
        "a complete text file",
    ),
    "truncated loom": (
        lambda folder, counts: cut(loom(folder, counts).parent, "a.loom"),
        "complete HDF5 file",
    ),
}  # fmt: skip


def remove(folder, name):
    (folder / name).unlink()
    return folder


def cut(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return folder if name.endswith(".gz") else path


def head(folder):
    path = folder / "genes.tsv"
    path.write_text("id\tname\n" + path.read_text())
    return folder


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named_with_the_reason(name, counts, tmp_path):
    write_cells, message = REFUSED[name]
    path = write_cells(tmp_path, counts)
    with pytest.raises(InputError, match=message) as refusal:
        whole(path)
    assert "\n" not in str(refusal.value)


def test_one_matrix_of_several_is_named_by_its_path(counts, tmp_path):
    for number, name in enumerate("ab", 1):
        names = (
            f"{name}_{part}" for part in ("matrix.mtx", "genes.tsv", "barcodes.tsv")
        )
        folder = mtx(*names)(tmp_path, counts * number)
    assert np.array_equal(whole(folder / "b_matrix.mtx"), counts * 2)


def test_obs_of_loom_and_mudata(counts, tmp_path):
    assert list(open_file(loom(tmp_path, counts)).obs["kind"][:3]) == ["a", "b", "a"]
    obs = open_file(h5mu("rna", "prot")(tmp_path, counts)).obs
    assert list(obs.columns) == ["kind", "donor"]
    assert open_file(tmp_path / "a.h5mu").left_out == {"prot": 20}


def test_pearson_residuals_are_scaled_values_alone(counts, tmp_path):
    residuals = (counts - counts.mean(axis=0)) / counts.std(axis=0)
    path = h5ad(lambda _: residuals)(tmp_path, counts)
    assert np.array_equal(whole(path, "scaled"), residuals)
    with pytest.raises(InputError, match="must hold raw counts"):
        whole(path)


def test_genes_keep_unicode_and_slashes(counts, tmp_path):
    cells = as_anndata(counts)
    names = ["HLA-A/B", "γδ", "a b", "d,e", *cells.var_names[4:]]
    cells.var_names = names
    cells.write_h5ad(tmp_path / "a.h5ad")
    assert open_file(tmp_path / "a.h5ad").gene_names == names
