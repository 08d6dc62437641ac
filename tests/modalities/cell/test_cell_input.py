"""An AnnData as the input of an exported model: genes by name, and what is refused."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from r2mae.modalities.cell.cell_input import read_cells

GENES = ["a", "b", "ENSG00000000003", "d"]


def cells(matrix, names, **columns):
    var = pd.DataFrame(columns, index=names)
    return anndata.AnnData(np.asarray(matrix, dtype=np.float32), var=var)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_genes_are_matched_by_name(kind):
    adata = cells([[1, 2, 3], [0, 5, 6]], ["ENSG00000000003.12", "other", "a"])
    adata.X = kind(adata.X)
    values, is_measured = read_cells(adata, GENES)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [[3, 0, 1, 0], [6, 0, 0, 0]])
    np.testing.assert_array_equal(is_measured, [True, False, True, False])


def test_matrix_and_names_may_be_others():
    adata = cells([[0.5, 2]], ["x", "y"], symbol=["b", "a"])
    adata.layers["counts"] = np.array([[3, 4]])
    options = {"matrix": "layers[counts]", "genes_by": "symbol"}
    values, _ = read_cells(adata, GENES, **options)
    np.testing.assert_array_equal(values, [[4, 3, 0, 0]])
    adata.raw = cells([[7, 8]], ["b", "d"])
    values, _ = read_cells(adata, GENES, matrix="raw")
    np.testing.assert_array_equal(values, [[0, 7, 0, 8]])


def test_a_file_on_disk_is_read(tmp_path):
    adata = cells([[1, 2], [0, 5]], ["d", "a"])
    adata.layers["sparse"] = sparse.csr_matrix(adata.X)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    for matrix in ("X", "layers[sparse]"):
        values, _ = read_cells(backed, GENES, matrix=matrix)
        np.testing.assert_array_equal(values, [[2, 0, 0, 1], [5, 0, 0, 0]])


def test_features_of_other_types_are_left_out():
    types = ["Gene Expression", "Antibody Capture", "Gene Expression"]
    adata = cells([[1, 9, 2]], ["a", "b", "d"], feature_types=types)
    values, is_measured = read_cells(adata, GENES)
    np.testing.assert_array_equal(values, [[1, 0, 0, 2]])
    assert is_measured.sum() == 2


def test_duplicates_are_summed_and_counts_rounded_on_request():
    adata = cells([[1.2, 0.4, 2]], ["a", "a", "b"])
    with pytest.raises(ValueError, match="each gene once, got 1 repeated, such as a"):
        read_cells(adata, GENES)
    values, _ = read_cells(adata, GENES, duplicates="sum", round_counts=True)
    np.testing.assert_array_equal(values, [[2, 2, 0, 0]])


BAD = {
    "raw counts": ([[0.5, 1]], ["a", "b"], {}),
    "raw counts .*-1": ([[-1, 1]], ["a", "b"], {"round_counts": True}),
    "finite values": ([[np.nan, 1]], ["a", "b"], {"is_counts": False}),
    "none in 1 cells, first in row 1": ([[1, 1], [0, 0]], ["a", "b"], {}),
    "at least 50% .* got 1": ([[1, 1]], ["a", "x"], {}),
    "the matrix 'raw'": ([[1, 1]], ["a", "b"], {"matrix": "raw"}),
    "the matrix 'layers.counts.'": ([[1, 1]], ["a", "b"], {"matrix": "layers[counts]"}),
    "must have 'symbol' in var": ([[1, 1]], ["a", "b"], {"genes_by": "symbol"}),
}


@pytest.mark.parametrize("rule", BAD)
def test_bad_cells_are_refused_in_one_line(rule):
    matrix, names, options = BAD[rule]
    with pytest.raises(ValueError, match=rule) as refused:
        read_cells(cells(matrix, names), GENES, **options)
    assert "\n" not in str(refused.value)


def test_normalized_counts_are_not_rounded():
    genes = [f"gene_{n}" for n in range(200)]
    counts = np.random.default_rng(0).poisson(0.7, (5, 200))
    normalized = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    with pytest.raises(ValueError, match="to be rounded, got normalized ones"):
        read_cells(cells(normalized, genes), genes, round_counts=True)
    corrected = np.maximum(counts - np.linspace(0, 0.4, 200), 0)
    values, _ = read_cells(cells(corrected, genes), genes, round_counts=True)
    np.testing.assert_array_equal(values, np.round(corrected))
