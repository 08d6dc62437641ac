"""Values are made whole, summed or refused as counts need it, and each change is counted."""

from collections import Counter

import numpy as np
import pytest
from scipy import sparse

from r2mae.errors import InputError
from r2mae.modalities.cell.data.files import open_file
from tests.conftest import make_cells
from tests.modalities.cell.data.formats import as_anndata, doubled, h5ad


@pytest.fixture
def counts():
    return make_cells(10, 6).X.toarray()


def read(path, values="counts", **options):
    """(cells, genes), and what was changed."""
    changes = Counter()
    blocks = open_file(path, **options).blocks(values, changes=changes)
    return np.concatenate([block.toarray() for _, block in blocks]), changes


@pytest.mark.parametrize("values", ["counts", "scaled"])
@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix])
def test_doubled_entries_are_summed_and_counted(kind, values, counts, tmp_path):
    def write(counts):
        is_csr = kind is sparse.csr_matrix
        return doubled(counts) if is_csr else doubled(counts.T.copy()).T

    result, changes = read(h5ad(write)(tmp_path, counts), values)
    assert np.array_equal(result, counts)
    assert changes["doubled"] == np.count_nonzero(counts)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_counts_corrected_for_ambient_rna_are_rounded_on_request(
    kind, counts, tmp_path
):
    corrected = np.where(counts > 1, counts - 0.3, counts).astype(np.float32)
    path = h5ad(lambda _: kind(corrected))(tmp_path, counts)
    with pytest.raises(InputError, match=r"raw counts .*--round-counts\."):
        read(path)
    result, changes = read(path, round_counts=True)
    assert np.array_equal(result, counts)
    assert changes["rounded"] == (counts > 1).sum()
    assert np.allclose(read(path, "scaled", round_counts=True)[0], corrected)


def normalized(counts, *, log):
    scaled = 1e4 * counts / counts.sum(axis=1, keepdims=True)
    return (np.log1p(scaled) if log else scaled).astype(np.float32)


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_normalized_counts_are_not_rounded(kind, log, tmp_path):
    """They would be small integers, which no longer are counts."""
    counts = np.random.default_rng(0).poisson(0.7, (30, 200)).astype(np.float32)
    path = h5ad(lambda counts: kind(normalized(counts, log=log)))(tmp_path, counts)
    with pytest.raises(InputError, match="corrected .* to be rounded, got normalized"):
        read(path, round_counts=True)
    # Corrected for ambient RNA: less by a part that differs from gene to gene.
    less = np.random.default_rng(1).uniform(0, 0.4, 200).astype(np.float32)
    corrected = np.maximum(counts - less, 0)
    path = h5ad(lambda _: kind(corrected))(tmp_path, counts)
    assert np.array_equal(read(path, round_counts=True)[0], np.round(corrected))


@pytest.mark.parametrize("value", [-0.2, np.nan, np.inf])
def test_what_cannot_be_a_count_is_not_rounded(value, counts, tmp_path):
    counts[2, 3] = value
    path = h5ad(lambda counts: counts)(tmp_path, counts)
    with pytest.raises(InputError, match=f"got {value:g} for gene_3 in cell c2"):
        read(path, round_counts=True)


@pytest.mark.parametrize(
    ("value", "values"), [(2**31, "counts"), (1e30, "counts"), (-1e10, "scaled")]
)
def test_huge_values_are_refused(value, values, counts, tmp_path):
    """A store would wrap them, and a model's features would not be finite."""
    counts = counts.astype(np.float64)
    counts[2, 3] = value
    path = h5ad(lambda counts: counts)(tmp_path, counts)
    with pytest.raises(InputError, match="values of at most .* for gene_3 in cell c2"):
        read(path, values)


def test_the_largest_count_is_read(counts, tmp_path):
    counts = counts.astype(np.int64)
    counts[2, 3] = 2**31 - 1
    assert read(h5ad(np.asarray)(tmp_path, counts))[0][2, 3] == 2**31 - 1


def test_counts_of_one_name_are_summed_on_request(counts, tmp_path):
    cells = as_anndata(counts)
    cells.var_names = ["a", "b", "a", "c", "d", "a"]
    cells.write_h5ad(tmp_path / "a.h5ad")
    file = open_file(tmp_path / "a.h5ad", duplicates="sum")
    assert file.gene_names == ["a", "b", "c", "d"]
    assert file.features.num_summed == 2
    result, changes = read(tmp_path / "a.h5ad", duplicates="sum")
    assert np.array_equal(result[:, 0], counts[:, [0, 2, 5]].sum(axis=1))
    assert np.array_equal(result[:, 1:], counts[:, [1, 3, 4]])
    assert not changes["doubled"]


def test_values_of_left_out_features_are_not_looked_at(counts, tmp_path):
    cells = as_anndata(counts)
    cells.var["feature_types"] = ["Gene Expression"] * 5 + ["Antibody Capture"]
    cells.X[:, 5] = -0.5
    cells.write_h5ad(tmp_path / "a.h5ad")
    assert np.array_equal(read(tmp_path / "a.h5ad")[0], counts[:, :5])
