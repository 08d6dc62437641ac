"""Features of cells as an .h5ad: in a copy of one file, else beside the names of cells."""

import anndata
import numpy as np
import pytest

from r2mae.modalities.cell.anndata import write_features
from r2mae.modalities.cell.data.cells import CellView
from r2mae.modalities.cell.data.splits import open_cell_paths, open_cells
from r2mae.modalities.cell.schema import CellData, GenesSection
from r2mae.modalities.cell.schema import TestSection as Split
from tests.conftest import make_cells
from tests.modalities.cell.data import formats

GENES = GenesSection(names=tuple(f"gene_{n}" for n in range(5)))


def embed(data):
    """out.h5ad of random features of the cells of data, and these features."""
    source = open_cell_paths(CellData(genes=GENES), [str(data)], CellView())
    features = np.random.default_rng(0).normal(size=(len(source), 3))
    features = features.astype(np.float32)
    write_features(
        str(data), source.store.path / "o.h5ad", features, source, range(len(source))
    )
    out = anndata.read_h5ad(source.store.path / "o.h5ad")
    assert np.array_equal(out.obsm["X_r2mae"], features)
    return out, source


def named(number, *names, seed=0):
    cells = make_cells(number, 5, seed=seed)
    cells.obs_names = names or [f"cell {n} x" for n in range(number)]
    return cells


def test_names_with_spaces_are_whole(scratch):
    named(3).write_zarr("cells.zarr")
    out, source = embed("cells.zarr")
    assert list(out.obs_names) == ["cell 0 x", "cell 1 x", "cell 2 x"]
    assert source.name(1) == "cells.zarr, cell cell 1 x"


@pytest.mark.parametrize(
    "write",
    [formats.loom, formats.ten_x(3, "matrix"), formats.mtx(), formats.h5mu("rna")],
)
def test_every_other_format_has_its_names(write, scratch, monkeypatch):
    obs, var = formats.frames(np.ones((3, 5)))
    obs.index = ["a b", "b b", "c, b"]
    monkeypatch.setattr(formats, "frames", lambda _: (obs, var))
    out, _ = embed(write(scratch, np.ones((3, 5))))
    assert list(out.obs_names) == list(obs.index)


def test_a_pattern_of_one_file_is_a_copy_of_it(scratch):
    named(3).write_h5ad("one.h5ad")
    out, _ = embed("on*.h5ad")
    assert list(out.obs["kind"]) == ["T", "B", "T"]
    assert out.n_vars == 5


def test_several_files_are_told_apart(scratch, capsys):
    named(2, "a", "b").write_h5ad("one.h5ad")
    named(2, "b", "c", seed=1).write_h5ad("two.h5ad")
    out, source = embed("*.h5ad")
    assert list(out.obs_names) == ["a", "b", "b", "c"]
    assert list(out.obs["file"]) == ["one", "one", "two", "two"]
    assert source.name(2) == "two.h5ad, cell b"
    assert capsys.readouterr().err == (
        "2 of 4 cells share their name with another; obs['file'] tells which is which\n"
    )


def test_files_of_one_name_go_by_their_paths(scratch):
    for folder in ("d1", "d2"):
        (scratch / folder).mkdir()
        named(4).write_h5ad(f"{folder}/cells.h5ad")
    out, _ = embed("d?/cells.h5ad")
    assert list(out.obs["file"].cat.categories) == ["d1/cells.h5ad", "d2/cells.h5ad"]
    split = Split(column="file", values=("d2/cells.h5ad",))
    section = CellData(root="d?/cells.h5ad", test=split, genes=GENES)
    test = open_cells(section, "test", CellView())
    assert {test.name(row) for row in range(len(test))} == {
        f"d2/cells.h5ad, cell cell {n} x" for n in range(4)
    }
