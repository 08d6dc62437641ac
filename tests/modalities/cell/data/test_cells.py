"""Batches of cells: values, decoys, roles, labels, splits; all functions of index, seed and position."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from anndata.io import write_elem

from r2mae.data.source import hold_out, root_of, with_labels
from r2mae.errors import InputError
from r2mae.masking.pattern import Role
from r2mae.masking.rng import RandomStream, host_bits
from r2mae.modalities.cell.data import cells as cell_module
from r2mae.modalities.cell.data.build import build_store
from r2mae.modalities.cell.data.cells import CellView
from r2mae.modalities.cell.data.scan import BuildOptions
from r2mae.modalities.cell.data.splits import open_cell_paths, open_cells, vocabulary
from r2mae.modalities.cell.schema import CellData, GenesSection
from r2mae.modalities.cell.schema import TestSection as Split
from tests.conftest import make_cells


@pytest.fixture
def cells(scratch):
    made = make_cells(60, 40)
    made.write_h5ad(scratch / "cells.h5ad")
    return made


def section(**more):
    return CellData(**{"root": "cells.h5ad", "label_column": "kind"} | more)


def load(view, positions=None, seed=0, **more):
    return open_cells(section(**more), "train", view).load(
        torch.arange(10), positions, seed
    )


def test_dense_rows_are_the_files(cells):
    batch = load(CellView())
    assert np.array_equal(
        batch["values"].numpy(), cells.X.toarray()[batch["indices"].numpy()]
    )
    assert "measured" not in batch


def test_a_vocabulary_reorders_and_marks_what_is_missing(cells):
    names = ("gene_7", "elsewhere", "gene_2")
    batch = load(CellView(), genes=GenesSection(names=names))
    rows = cells.X.toarray()[batch["indices"].numpy()]
    assert np.array_equal(batch["values"][:, [0, 2]].numpy(), rows[:, [7, 2]])
    assert batch["measured"].unique(dim=0).tolist() == [[True, False, True]]


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_lists_hold_expressed_genes_and_decoys(cells, share):
    batch = load(CellView(lists=True, expressed_share=share), torch.arange(10))
    rows = cells.X.toarray()[batch["indices"].numpy()]
    for row, columns, values, roles in zip(
        rows, batch["columns"], batch["values"], batch["roles"], strict=True
    ):
        expressed, decoys = (
            columns[roles == Role.HIDEABLE],
            columns[roles == Role.DECOY],
        )
        assert expressed.tolist() == np.flatnonzero(row).tolist()
        assert values[roles == Role.HIDEABLE].tolist() == row[row > 0].tolist()
        wanted = min(round(len(expressed) * (1 / share - 1)), 40 - len(expressed))
        assert abs(len(decoys) - wanted) <= 1
        assert len(set(decoys.tolist())) == len(decoys)
        assert not row[decoys].any()


def test_decoys_follow_seed_and_position(cells):
    view = CellView(lists=True, expressed_share=0.7)
    one, same = (load(view, torch.arange(10))["columns"] for _ in range(2))
    assert torch.equal(one, same)
    assert not torch.equal(one, load(view, torch.arange(10) + 60)["columns"])
    assert not torch.equal(one, load(view, torch.arange(10), seed=1)["columns"])
    assert torch.equal(load(view, None, 0)["columns"], load(view, None, 5)["columns"])


def test_the_kernel_hashes_as_masks_do():
    from r2mae.masking.rng import stream_start
    from r2mae.modalities.cell.data.kernels import draw_decoys

    columns, roles = np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int8)
    start = np.uint64(stream_start(3, RandomStream.DECOY))
    known, none = np.ones((1, 1000), np.bool_), np.zeros(1, np.int64)
    draw_decoys(start, np.array([17]), none, none + 1, known, columns, roles)
    assert columns[0, 0] == host_bits(3, RandomStream.DECOY, 17, 0) % 1000


def test_dense_rows_carry_roles_too(cells):
    batch = load(CellView(expressed_share=0.5), torch.arange(10))
    rows, roles = batch["values"].numpy(), batch["roles"].numpy()
    assert ((roles == Role.HIDEABLE) == (rows > 0)).all()
    assert ((roles == Role.DECOY).sum(axis=1) > 0).all()


def test_splits_by_share_and_by_column(cells):
    train, test = (
        open_cells(section(), split, CellView()) for split in ("train", "test")
    )
    assert (len(train), len(test)) == (48, 12)
    assert not set(train.rows.tolist()) & set(test.rows.tolist())
    by_donor = section(test=Split(column="donor", values=("d1",)))
    rows = open_cells(by_donor, "test", CellView()).rows
    assert (cells.obs["donor"].to_numpy()[rows.numpy()] == "d1").all()
    assert len(rows) == 20
    with pytest.raises(InputError, match="values of donor, got 'd9'"):
        open_cells(
            section(test=Split(column="donor", values=("d9",))), "test", CellView()
        )


def test_labels_that_are_missing_or_rare(scratch):
    cells = make_cells(60, 40)
    kinds = cells.obs["kind"].astype(str)
    kinds.iloc[:5], kinds.iloc[5:8] = "Unknown", "rare"
    cells.obs["kind"] = kinds
    cells.write_h5ad("cells.h5ad")
    source = root_of(open_cells(section(min_class_cells=4), "train", CellView()))
    assert (source.labels[:8] == -1).all()
    assert sorted({source.class_names[label] for label in source.labels[8:]}) == [
        "B",
        "T",
    ]
    labelled = with_labels(open_cells(section(min_class_cells=4), "train", CellView()))
    assert (labelled.labels >= 0).all()
    with pytest.raises(InputError, match="column 'kid' in obs.*Did you mean kind"):
        open_cells(
            section().model_copy(update={"label_column": "kid"}), "train", CellView()
        )


def test_neighbours_stay_neighbours_when_held_out(cells, monkeypatch):
    monkeypatch.setattr(cell_module, "BLOCK_CELLS", 4)
    train, held_out = hold_out(open_cells(section(), "train", CellView()), 0.25)
    whole = [part.root_indices(torch.arange(len(part))) for part in (train, held_out)]
    rows = open_cells(section(), "train", CellView()).rows
    assert sorted(torch.cat(whole).tolist()) == rows.tolist()
    place = {row: number for number, row in enumerate(rows.tolist())}
    blocks = torch.tensor([place[row] for row in whole[0].tolist()]).view(-1, 4)
    assert (blocks.diff(dim=1) == 1).all()
    assert not (blocks[:, 0].diff() == 4).all()


def test_other_files_keep_the_runs_genes(cells, scratch):
    other = make_cells(20, 60, seed=3)[:, 10:]
    other.write_h5ad("other.h5ad")
    known = section(genes=GenesSection(names=tuple(vocabulary(section()))))
    source = open_cell_paths(known, ["other.h5ad"], CellView())
    batch = source.load(torch.arange(20), None, 0)
    assert np.array_equal(batch["values"][:, 10:].numpy(), other.X.toarray()[:, :30])
    assert batch["measured"][0].tolist() == [gene >= 10 for gene in range(40)]
    assert source.overlap() == {"known": 40, "found": 30, "missing": 10, "ignored": 20}
    with pytest.raises(
        InputError, match=r"other.h5ad must have at least 80% of the 40 genes, got 30"
    ):
        open_cell_paths(known, ["other.h5ad"], CellView(), least_overlap=0.8)


def test_a_gene_without_counts_is_measured_all_the_same(cells, scratch):
    few = make_cells(5, 40)
    counts = few.X.toarray()
    counts[:, 7] = 0
    few.X = counts
    few.write_h5ad("few.h5ad")
    known = section(genes=GenesSection(names=tuple(vocabulary(section()))))
    assert "measured" not in open_cell_paths(known, ["few.h5ad"], CellView()).load(
        torch.arange(5), None, 0
    )


def test_cells_without_a_known_gene_are_refused(cells, scratch):
    few = make_cells(5, 40)
    counts = few.X.toarray()
    counts[2] = 0
    few.X = counts
    few.write_h5ad("few.h5ad")
    with pytest.raises(InputError, match="every cell, got 1 empty cells"):
        open_cell_paths(
            section(genes=GenesSection(names=("gene_0", "gene_1"))),
            ["few.h5ad"],
            CellView(),
        )
    strange = make_cells(5, 4)
    strange.var_names = ["GENE_1x", "q", "r", "s"]
    strange.write_h5ad("strange.h5ad")
    with pytest.raises(InputError, match="got 0: GENE_1x, q"):
        open_cell_paths(
            section(genes=GenesSection(names=("gene_0", "gene_1"))),
            ["strange.h5ad"],
            CellView(),
        )


def test_a_changed_file_is_read_anew(cells, scratch):
    before = load(CellView())["values"].sum()
    cells.X = cells.X * 2
    cells.write_h5ad("cells.h5ad")
    assert load(CellView())["values"].sum() == 2 * before


def test_another_matrix_than_that_of_a_store_is_refused(cells):
    build_store(Path("store"), [Path("cells.h5ad")])
    store = section(root="store")
    assert len(open_cells(store, "train", CellView()))
    raw = store.model_copy(update={"matrix": "raw"})
    with pytest.raises(
        InputError, match=r"data\.matrix must be X, of which the store store"
    ):
        open_cells(raw, "train", CellView())


def test_a_matrix_of_a_modality_is_the_one_that_was_named(scratch):
    """A store of an .h5mu names it with its modality: rna:layers[counts]."""
    rna = make_cells(40, 12)
    rna.layers["counts"] = rna.X.copy()
    with h5py.File("cells.h5mu", "w") as file:
        write_elem(file, "mod/rna", rna)
        write_elem(file, "obs", pd.DataFrame(index=rna.obs_names))
    named = CellData(root="cells.h5mu", matrix="layers[counts]")
    assert len(open_cells(named, "train", CellView()))
    options = BuildOptions("layers[counts]")
    build_store(Path("store"), [Path("cells.h5mu")], options)
    stored = named.model_copy(update={"root": "store"})
    assert len(open_cells(stored, "train", CellView()))
