"""Reading what others write: kinds of files agree, and each mistake is one line."""

import gzip

import anndata
import h5py
import numpy as np
import pytest
from scipy import io, sparse

from r2mae.errors import InputError
from r2mae.modalities.cell.data import matrix as cell_matrix
from r2mae.modalities.cell.data.files import open_file
from tests.conftest import make_cells


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


def write_10x(path, counts):
    matrix = sparse.csc_matrix(counts.T)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(matrix, name).astype(np.int64)
        group["shape"] = np.array(matrix.shape)
        group["barcodes"] = np.array([f"c{n}".encode() for n in range(len(counts))])
        features = group.create_group("features")
        features["name"] = np.array(
            [f"gene_{n}".encode() for n in range(counts.shape[1])]
        )
        features["id"] = np.array([f"ENSG{n}".encode() for n in range(counts.shape[1])])


def test_10x_files(counts, tmp_path):
    write_10x(tmp_path / "a.h5", counts)
    assert np.array_equal(whole(tmp_path / "a.h5"), counts)
    assert open_file(tmp_path / "a.h5", genes_by="gene_ids").gene_names[3] == "ENSG3"
    folder = tmp_path / "mtx"
    folder.mkdir()
    with gzip.open(folder / "matrix.mtx.gz", "wb") as file:
        io.mmwrite(file, sparse.coo_matrix(counts.T.astype(int)))
    with gzip.open(folder / "features.tsv.gz", "wt") as file:
        file.writelines(
            f"ENSG{n}\tgene_{n}\tGene Expression\n" for n in range(counts.shape[1])
        )
    with gzip.open(folder / "barcodes.tsv.gz", "wt") as file:
        file.writelines(f"c{n}\n" for n in range(len(counts)))
    assert np.array_equal(whole(folder), counts)
    assert open_file(folder, genes_by="gene_ids").gene_names[3] == "ENSG3"


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
        "a whole HDF5 file",
    ),
    "text": (lambda path, counts: path.write_text("gene,count\n"), "a whole HDF5 file"),
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
