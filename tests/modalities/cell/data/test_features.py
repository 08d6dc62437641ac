"""Genes are told from other features, and named without doubt."""

import anndata
import pandas as pd
import pytest

from r2mae.errors import InputError
from r2mae.modalities.cell.data.features import choose_features, without_version
from r2mae.modalities.cell.data.files import open_file
from tests.conftest import make_cells
from tests.modalities.cell.data.formats import as_anndata, mtx, ten_x

SYMBOLS = ["A", "B", "A", "C"]  # two ids of one symbol


def write_h5ad(folder, counts, symbols=None, types=None):
    cells = as_anndata(counts)
    cells.var_names = symbols or cells.var_names
    if types:
        cells.var["feature_types"] = types
    cells.write_h5ad(folder / "a.h5ad")
    return folder / "a.h5ad"


def write_ten_x(folder, counts, symbols=None, types=None):
    import h5py

    path = ten_x(3, "matrix", types=types)(folder, counts)
    if symbols:
        with h5py.File(path, "r+") as file:
            file["matrix/features/name"][:] = [name.encode() for name in symbols]
    return path


def write_mtx(folder, counts, symbols=None, types=None):
    return mtx(symbols=symbols, types=types)(folder, counts)


WRITERS = [write_h5ad, write_ten_x, write_mtx]


@pytest.mark.parametrize("write", WRITERS)
def test_ids_name_genes_whose_symbols_are_shared(write, tmp_path):
    path = write(tmp_path, make_cells(6, 4).X.toarray(), symbols=SYMBOLS)
    remedy = "such as A. Name them by gene_ids .genes.by, --genes-by., or sum"
    with pytest.raises(InputError, match=remedy):
        open_file(path)
    ids = open_file(path, genes_by="gene_ids").gene_names
    assert ids == ["ENSG0", "ENSG1", "ENSG2", "ENSG3"]
    assert open_file(path, duplicates="sum").gene_names == ["A", "B", "C"]


@pytest.mark.parametrize("gene", ["Gene Expression", "GEX"])
@pytest.mark.parametrize("write", WRITERS)
def test_features_that_are_no_genes_are_left_out_and_counted(write, gene, tmp_path):
    types = [gene, "Antibody Capture", gene, "CRISPR Guide Capture"]
    path = write(tmp_path, make_cells(6, 4).X.toarray(), types=types)
    file = open_file(path)
    assert file.gene_names == ["gene_0", "gene_2"]
    assert file.left_out == {"Antibody Capture": 1, "CRISPR Guide Capture": 1}


def test_a_name_that_a_gene_and_an_antibody_share_is_no_duplicate():
    var = pd.DataFrame({"feature_types": ["Gene Expression", "Antibody Capture"]})
    var.index = ["CD4", "CD4"]
    assert choose_features("file", var, "index", "refuse").gene_names == ["CD4"]


def test_a_file_without_genes_is_taken_whole():
    var = pd.DataFrame({"feature_types": ["Peaks", "Peaks"]}, index=["a", "b"])
    features = choose_features("file", var, "index", "refuse")
    assert (features.gene_names, features.left_out) == (["a", "b"], {})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ENSG00000141510.18", "ENSG00000141510"),
        ("ENSMUSG00000059552.14", "ENSMUSG00000059552"),
        ("ENSG00000182378.15_PAR_Y", "ENSG00000182378_PAR_Y"),
        ("ENSG00000141510", "ENSG00000141510"),
        ("AC012345.2", "AC012345.2"),  # a symbol
        ("ENSG1.2", "ENSG1.2"),
        ("TP53", "TP53"),
    ],
)
def test_versions_of_ensembl_ids_alone_are_removed(name, expected):
    assert without_version(name) == expected


@pytest.mark.parametrize("duplicates", ["refuse", "sum"])
def test_features_without_a_name_are_no_gene_and_counted(duplicates, tmp_path):
    """Symbols looked up by id are missing for some; summed, they would be a gene called nan."""
    path = write_h5ad(tmp_path, make_cells(6, 5).X.toarray())
    cells = anndata.read_h5ad(path)
    cells.var["symbol"] = pd.Categorical(["A", None, "B", None, " "])
    cells.write_h5ad(path)
    file = open_file(path, genes_by="symbol", duplicates=duplicates)
    assert file.gene_names == ["A", "B"]
    assert file.left_out == {"without a name": 3}
    ((_, block),) = file.blocks("counts")
    assert (block.toarray() == cells[:, [0, 2]].to_df().to_numpy()).all()


def test_a_gene_may_be_called_nan(tmp_path):
    """As nanchung of the fly is."""
    counts = make_cells(6, 3).X.toarray()
    path = write_h5ad(tmp_path, counts, symbols=["nan", "B", "C"])
    assert open_file(path).gene_names == ["nan", "B", "C"]
