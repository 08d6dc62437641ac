"""A store holds what the files hold, whatever stops its making."""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch

from r2mae.errors import InputError
from r2mae.modalities.cell.data import build as cell_build
from r2mae.modalities.cell.data import matrix as cell_matrix
from r2mae.modalities.cell.data import splits
from r2mae.modalities.cell.data.build import build_store
from r2mae.modalities.cell.data.cells import Cells, CellView
from r2mae.modalities.cell.data.notes import reading_notes
from r2mae.modalities.cell.data.scan import BuildOptions
from r2mae.modalities.cell.data.store import open_store
from r2mae.modalities.cell.schema import CellData, GenesSection
from tests.conftest import make_cells
from tests.modalities.cell.data.formats import doubled, mtx, zarr


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two files that share 20 of 30 and 25 genes."""
    monkeypatch.setattr(cell_matrix, "BLOCK_ENTRIES", 100)
    one, two = make_cells(40, 30), make_cells(30, 35, seed=1)[:, 10:].copy()
    two.obs["age"] = np.arange(30)
    one.write_h5ad(tmp_path / "one.h5ad")
    two.write_h5ad(tmp_path / "two.h5ad")
    return [tmp_path / "one.h5ad", tmp_path / "two.h5ad"], (one, two)


def dense(store):
    return Cells(store, store.gene_names, CellView()).dense(np.arange(len(store)))


def test_a_store_holds_what_files_hold(files, tmp_path):
    paths, (one, two) = files
    store = build_store(tmp_path / "store", paths)
    assert store.gene_names == [f"gene_{n}" for n in range(35)]
    found = dense(store)
    assert np.array_equal(found[:40, :30], one.X.toarray())
    assert np.array_equal(found[40:, 10:], two.X.toarray())
    assert not found[:40, 30:].any()
    assert not found[40:, :10].any()
    assert np.array_equal(store.measured()[1], np.arange(35) >= 10)
    assert np.allclose(
        store.stats, [(found > 0).sum(0), found.sum(0), (found**2).sum(0)]
    )
    assert np.allclose(store.totals, found.sum(axis=1))
    codes, names = store.column("donor")
    assert [names[code] for code in codes[:4]] == ["d0", "d1", "d2", "d0"]
    codes, names = store.column("file")
    assert names == ["one", "two"]
    assert codes.sum() == 30
    assert bytes(store.names[41]) == b"cell_1"
    with pytest.raises(InputError, match="column 'donr' in obs.*Did you mean donor"):
        store.column("donr")


def test_filters_and_vocabulary(files, tmp_path):
    paths, (one, two) = files
    counts = np.zeros((70, 35))
    counts[:40, :30], counts[40:, 10:] = one.X.toarray(), two.X.toarray()
    kept = (counts > 0).sum(axis=1) >= 14
    assert 5 < kept.sum() < 65
    options = BuildOptions(genes=GenesSection(min_cells=30), min_genes=14)
    store = build_store(tmp_path / "a", paths, options)
    genes = (counts[kept] > 0).sum(axis=0) >= 30
    assert store.gene_names == [f"gene_{n}" for n in np.flatnonzero(genes)]
    assert np.array_equal(dense(store), counts[np.ix_(kept, genes)])
    given = build_store(
        tmp_path / "b",
        paths,
        BuildOptions(genes=GenesSection(names=("gene_12", "new", "gene_3"))),
    )
    assert given.gene_names == ["gene_12", "new", "gene_3"]
    assert np.array_equal(dense(given)[:, [0, 2]], counts[:, [12, 3]])
    assert (
        len(
            build_store(
                tmp_path / "c", paths, BuildOptions(genes=GenesSection(top_variable=6))
            ).gene_names
        )
        == 6
    )


class StoppedError(Exception):
    pass


def test_a_build_that_is_stopped_goes_on(files, tmp_path):
    paths, _ = files
    whole = build_store(tmp_path / "whole", paths)
    calls = []
    build_store(tmp_path / "count", paths, progress=lambda *told: calls.append(told))
    for stop in range(0, len(calls), 3):
        seen = []

        def stop_at(*told, seen=seen, stop=stop):
            seen.append(told)
            if len(seen) == stop + 1:
                raise StoppedError

        target = tmp_path / f"stopped_{stop}"
        with pytest.raises(StoppedError):
            build_store(target, paths, progress=stop_at)
        assert not target.exists()
        again = []
        store = build_store(
            target, paths, progress=lambda *told, again=again: again.append(told)
        )
        assert (
            len(seen) + len(again) <= len(calls) + 8
        )  # at most the checking of one file is repeated
        assert store.fingerprint == whole.fingerprint
        assert np.array_equal(dense(store), dense(whole))
        assert np.array_equal(store.starts, whole.starts)
    assert not list(tmp_path.glob(".building*"))


def test_a_finished_store_is_opened_and_another_is_left_alone(files, tmp_path):
    paths, _ = files
    store = build_store(tmp_path / "store", paths)
    told = []
    assert (
        build_store(
            tmp_path / "store", paths, progress=lambda *one: told.append(one)
        ).fingerprint
        == store.fingerprint
    )
    assert not told
    with pytest.raises(InputError, match="got another store"):
        build_store(tmp_path / "store", paths[:1])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("x")
    with pytest.raises(InputError, match="absent or empty"):
        build_store(tmp_path / "other", paths)


def test_a_gene_named_twice_is_refused(tmp_path):
    cells = make_cells(10, 5)
    cells.var_names = ["a", "b", "a", "c", "d"]
    cells.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(
        InputError, match="unique gene names, got 1 duplicates, such as a"
    ):
        build_store(tmp_path / "store", [tmp_path / "a.h5ad"])
    assert not (tmp_path / "store").exists()


def test_empty_cells_are_left_out_and_counted(tmp_path):
    cells = make_cells(10, 5)
    counts = cells.X.toarray()
    counts[3] = 0
    cells.X = counts
    cells.write_h5ad(tmp_path / "a.h5ad")
    store = build_store(tmp_path / "store", [tmp_path / "a.h5ad"])
    assert (
        store.meta["files"][0]["cells"],
        store.meta["files"][0]["kept"],
        len(store),
    ) == (10, 9, 9)
    cells.X = counts * 0
    cells.write_h5ad(tmp_path / "b.h5ad")
    with pytest.raises(
        InputError, match="must hold a cell with counts, got 10 empty cells"
    ):
        build_store(tmp_path / "none", [tmp_path / "b.h5ad"])


@pytest.mark.parametrize("name", ["genes", "values", "starts", "store.json"])
def test_a_damaged_store_is_named(name, files, tmp_path):
    store = build_store(tmp_path / "store", files[0])
    path = store.path / (name if "." in name else f"{name}.npy")
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match=path.stem):
        open_store(store.path)


def test_large_counts_and_many_genes_have_room(tmp_path):
    cells = make_cells(10, 5)
    counts = cells.X.toarray()
    counts[2, 3] = 70_000
    cells.X = counts
    cells.write_h5ad(tmp_path / "a.h5ad")
    store = build_store(tmp_path / "store", [tmp_path / "a.h5ad"])
    assert store.values.dtype == np.uint32
    assert dense(store)[2, 3] == 70_000
    assert store.meta["format"] == cell_build.FORMAT


def test_ranks_that_want_the_same_store_share_one(tmp_path):
    make_cells(2000, 300).write_h5ad(tmp_path / "a.h5ad")
    paths = [tmp_path / "store", [tmp_path / "a.h5ad"]]
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        found = [pool.submit(_fingerprint_of, *paths) for _ in range(3)]
    assert len({one.result() for one in found}) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5ad", "store"]


def _fingerprint_of(out, paths):
    return build_store(out, paths).fingerprint


@pytest.mark.parametrize("damage", ["truncated", "old format"])
def test_a_damaged_store_in_the_cache_is_built_again(scratch, damage):
    make_cells(40, 12).write_h5ad("cells.h5ad")
    recipe = {"root": "cells.h5ad", "label_column": "kind"}
    section = CellData(**recipe)
    first = splits.open_cells(section, "train", CellView()).load(
        torch.arange(5), None, 0
    )
    (store,) = [path.parent for path in scratch.rglob("store.json")]
    if damage == "truncated":
        values = store / "values.npy"
        values.write_bytes(values.read_bytes()[:-8])
    else:
        meta = json.loads((store / "store.json").read_text())
        (store / "store.json").write_text(json.dumps(meta | {"format": "old"}))
    splits._opened.cache_clear()  # as in a new process
    again = splits.open_cells(section, "train", CellView()).load(
        torch.arange(5), None, 0
    )
    assert all(
        torch.equal(first[key], again[key])
        for key in first
        if isinstance(first[key], torch.Tensor)
    )


def test_files_are_opened_and_genes_chosen_once(scratch, monkeypatch):
    make_cells(40, 12).write_h5ad("cells.h5ad")
    section = CellData(root="cells.h5ad", label_column="kind")
    calls = []
    choose_genes = splits.choose_genes
    monkeypatch.setattr(
        splits, "choose_genes", lambda *given: calls.append(1) or choose_genes(*given)
    )
    monkeypatch.setattr(
        splits, "build_store", lambda *given: calls.append(2) or build_store(*given)
    )
    genes = splits.vocabulary(section)
    for split in ("train", "test"):
        assert splits.open_cells(section, split, CellView()).source.genes == genes
    assert sorted(calls) == [1, 2]
    make_cells(40, 14).write_h5ad("cells.h5ad")  # another file
    assert len(splits.vocabulary(section)) > len(genes)
    assert sorted(calls) == [1, 1, 2, 2]


@pytest.mark.parametrize("versioned", [0, 1])
def test_ensembl_ids_with_and_without_version_meet(versioned, tmp_path):
    ids = [f"ENSG{n:011d}" for n in range(6)]
    for number in range(2):
        cells = make_cells(8, 6, seed=number)
        if number == versioned:
            cells.var_names = [f"{name}.{n}" for n, name in enumerate(ids)]
        else:
            cells.var_names = ids[::-1]
        cells.write_h5ad(tmp_path / f"{number}.h5ad")
    paths = [tmp_path / "0.h5ad", tmp_path / "1.h5ad"]
    store = build_store(tmp_path / "store", paths)
    assert sorted(store.gene_names) == ids
    assert store.measured().all()
    versions = [f"{name}.99" for name in ids[:3]]  # of a run that was trained on others
    chosen = Cells(store, versions, CellView())
    assert chosen.overlap()["found"] == 3
    reference = Cells(store, ids[:3], CellView())
    assert np.array_equal(chosen.dense(np.arange(16)), reference.dense(np.arange(16)))


def test_a_store_says_what_was_changed(tmp_path):
    cells = make_cells(8, 6)
    counts = cells.X.toarray()
    counts[0, 0] += 0.3
    cells.X = doubled(counts)
    cells.var_names = ["a", "b", "a", "c", "d", "e"]
    cells.var["feature_types"] = ["Gene Expression"] * 5 + ["Antibody Capture"]
    cells.write_h5ad(tmp_path / "a.h5ad")
    genes = GenesSection(duplicates="sum")
    options = BuildOptions(genes=genes, round_counts=True)
    store = build_store(tmp_path / "store", [tmp_path / "a.h5ad"], options)
    assert reading_notes(store.meta) == [
        "features other than genes left out: 1 Antibody Capture",
        "genes summed with another of the same name: 1",
        f"doubled entries of a gene and cell summed: {np.count_nonzero(counts)}",
        "values rounded to whole counts: 1",
    ]
    counts = np.round(counts)
    counts[:, 0] += counts[:, 2]
    assert np.array_equal(dense(store), counts[:, [0, 1, 3, 4]])


@pytest.mark.parametrize("write", [zarr(np.asarray), mtx()])
def test_a_file_changed_within_its_folder_is_read_again(write, scratch):
    counts = make_cells(20, 12).X.toarray()
    path = write(scratch, counts)
    section = CellData(root=str(path))
    first = splits._find_store(section)
    for file in path.rglob("*"):
        os.utime(file, (0, 0))
    assert splits._find_store(section).path != first.path
