"""Where a recipe's cells are: a store, or files that become one in the cache; their splits, labels and genes."""

import glob
import importlib.util
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from r2mae.data.cache import cache_folder, open_cached
from r2mae.data.card import load_card, locate, missing_data
from r2mae.data.fingerprint import fingerprint_bytes
from r2mae.data.source import (
    Chosen,
    SampleSource,
)
from r2mae.data.stream import permute
from r2mae.errors import InputError, did_you_mean
from r2mae.modalities.cell.data.build import build_store
from r2mae.modalities.cell.data.cells import Cells, CellView
from r2mae.modalities.cell.data.files import files_of
from r2mae.modalities.cell.data.genes import choose_genes, read_gene_list
from r2mae.modalities.cell.data.notes import choice_notes, reading_notes
from r2mae.modalities.cell.data.scan import BuildOptions
from r2mae.modalities.cell.data.store import CellStore, is_store, open_store
from r2mae.modalities.cell.schema import CellData, GenesSection
from r2mae.progress import listener

_TEST_KEY = (
    0x7E57  # fixed: which cells are the test split does not depend on a run's seed
)


def open_cells(section: CellData, split: str, view: CellView) -> SampleSource:
    """Cells of a recipe's data section, split "train" or "test".

    Raises: InputError when the data is not there, damaged, or the split is empty.
    """
    store = _find_store(section)
    genes = vocabulary(section, store)
    cells = Cells(store, genes, view, labels=_labels(store, section))
    is_kept = _is_kept(cells, section)
    is_test = _is_test(store, section)
    rows = np.flatnonzero(is_kept & (is_test if split == "test" else ~is_test))
    if not len(rows):
        passed = (
            f"{int(is_kept.sum()):,} of {len(store):,} cells express a gene of the model "
            "and pass data.min_genes and data.min_counts"
        )
        raise InputError(
            f"{store.place} must hold cells of the {split} split, got none: {passed}. "
            "Set data.test, or lower these."
        )
    return Chosen(cells, rows)


def _is_kept(cells: Cells, section: CellData) -> npt.NDArray[np.bool_]:
    """(N,) cells that pass the filters, which count all genes of the files, and express a gene of the model."""
    store = cells.store
    is_kept = np.asarray(cells.genes_of_cells()) > 0
    if section.min_genes > 1:
        is_kept &= np.asarray(store.genes_of_cells()) >= section.min_genes
    if section.min_counts > 1:
        is_kept &= store.totals >= section.min_counts
    return is_kept


def open_cell_paths(
    section: CellData, paths: list[str], view: CellView, least_overlap: float = 0.0
) -> SampleSource:
    """All cells of files, seen with the genes of a run: those that a file lacks count as not measured.

    Raises: InputError for damaged files, less than least_overlap of the genes, cells without a known gene.
    """
    opened = section.model_copy(update={"root": paths[0], "card": "cell_files"})
    if len(paths) > 1:
        raise InputError(f"DATA must be one file, store or glob, got {len(paths)}.")
    store = _find_store(opened.model_copy(update={"genes": _reading(section.genes)}))
    labels = _labels(store, opened, optional=True)
    cells = Cells(
        store, vocabulary(section), view, least_overlap=least_overlap, labels=labels
    )
    refuse_empty_cells(cells, paths[0])
    return cells


def refuse_empty_cells(cells: Cells, where: str) -> None:
    """Raise InputError where a cell has no count of any gene of the run."""
    left_out = sum(file["cells"] - file["kept"] for file in cells.store.meta["files"])
    empty = np.flatnonzero(cells.genes_of_cells() == 0)
    if left_out or len(empty):
        name = cells.name(int(empty[0])) if len(empty) else where
        raise InputError(
            f"{name} must have counts of the run's genes in every cell, got {left_out + len(empty)} empty cells. "
            "Filter them first: scanpy.pp.filter_cells(adata, min_counts=1)."
        )


def vocabulary(section: CellData, store: CellStore | None = None) -> list[str]:
    """The model's ordered genes: those of `genes.names`, else chosen from the data.

    store: of the section, where it is open already.

    Raises: InputError when there are neither names nor data.
    """
    if section.genes.names is not None:
        return read_gene_list(section.genes.names)
    return list(_chosen_genes(store or _find_store(section), section.genes))


@lru_cache(maxsize=8)
def _chosen_genes(store: CellStore, section: GenesSection) -> tuple[str, ...]:
    """Genes of a store that pass the filters; chosen once, as stores are opened once."""
    stats = np.asarray(store.stats)
    return tuple(choose_genes(store.gene_names, stats, len(store), section))


def _is_test(store: CellStore, section: CellData) -> npt.NDArray[np.bool_]:
    """(N,) which cells are the test split."""
    test = section.test
    if test.column is None:
        order = permute(torch.arange(len(store)), len(store), _TEST_KEY).numpy()
        return np.asarray(order < round((test.share or 0) * len(store)))
    codes, names = store.column(test.column)
    unknown = [value for value in test.values if value not in names]
    if unknown:
        suggestion = did_you_mean(unknown[0], names)
        raise InputError(
            f"data.test.values must be values of {test.column}, got {unknown[0]!r}. {suggestion}"
        )
    return np.isin(codes, [names.index(value) for value in test.values])


def _labels(store: CellStore, section: CellData, optional: bool = False) -> Any:
    """(class numbers (N,), names, "") for `Cells`, or None."""
    column = section.label_column or load_card(section.card).label_column
    if column is None or (optional and column not in store.meta["obs"]):
        return None
    codes, names = store.column(column)
    numbers = np.asarray(codes).astype(np.int64)
    sizes = np.bincount(numbers[numbers >= 0], minlength=len(names))
    small = [
        number for number, size in enumerate(sizes) if size < section.min_class_cells
    ]
    nameless = [
        number
        for number, name in enumerate(names)
        if name.lower() in section.unlabelled
    ]
    numbers[np.isin(numbers, [*small, *nameless])] = -1
    return numbers, dict(enumerate(names)), f"no label in {column}."


def describe_cells(section: CellData) -> dict[str, str]:
    """{title: text} on the training data: how files were read, and the labels."""
    store = _find_store(section)
    described = {}
    if lines := reading_notes(store.meta):
        described["reading"] = "; ".join(lines)
    cells = Cells(store, vocabulary(section, store), CellView())
    described |= choice_notes(cells, _is_kept(cells, section))
    column = section.label_column or load_card(section.card).label_column
    if column is not None:
        numbers, _, _ = _labels(store, section)
        num_labelled = int((numbers >= 0).sum())
        is_text = store.meta["obs"].get(column, {"categories": []})["categories"]
        suffix = "" if is_text is not None else ", from whole numbers"
        described["labels"] = (
            f"{column}: {len(np.unique(numbers[numbers >= 0]))} classes{suffix}; "
            f"{num_labelled:,} of {len(store):,} cells have one"
        )
    return described


def cell_paths(section: CellData) -> list[Path]:
    """The store, or the files, of a section: at root, where the card says, or in an installed library.

    Raises: InputError when nothing is there.
    """
    card = load_card(section.card)
    if card.embedded is not None and section.root is None:
        return [_embedded(card.embedded)]
    place = locate(card, section.root)
    if place is None:
        raise missing_data(card)
    names = card.files.get("train", ()) if place.is_dir() else ()
    return expand_paths([str(place / name) for name in names], place)


def expand_paths(patterns: list[str], place: Path | None = None) -> list[Path]:
    """Files of globs, in order; or the place itself. Raises: InputError when there are none."""
    paths = [Path(path) for pattern in patterns for path in sorted(glob.glob(pattern))]
    if not paths and place is not None:
        matches = [Path(path) for path in sorted(glob.glob(str(place)))]
        paths = [place] if place.exists() else matches
    if not paths:
        expected = patterns or [str(place)]
        raise InputError(
            f"{expected[0]} must exist, or be a glob that matches a file, got nothing there. Check the path."
        )
    return list(dict.fromkeys(paths))


def _embedded(name: str) -> Path:
    """The file of a data set that scanpy brings along."""
    spec = importlib.util.find_spec("scanpy")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'scanpy'", name="scanpy")
    return Path(spec.origin).parent / "datasets" / name


def _find_store(section: CellData) -> CellStore:
    """The store of a section, whatever genes it chooses of it."""
    genes = _reading(section.genes).model_copy(update={"min_cells": 0})
    options = BuildOptions(section.matrix, section.values, section.round_counts, genes)
    paths = tuple(str(path) for path in cell_paths(section))
    return _opened(paths, options, _state(paths, options))


def _reading(genes: GenesSection) -> GenesSection:
    """How a file's genes are read, without the choice of some."""
    return GenesSection(by=genes.by, duplicates=genes.duplicates)


def _state(paths: tuple[str, ...], options: BuildOptions) -> str:
    """Changes when a file does."""
    states = []
    for path in paths:
        for member in map(os.path.realpath, files_of(Path(path))):
            stat = os.stat(member)
            states.append((member, stat.st_size, stat.st_mtime_ns))
    return fingerprint_bytes(f"{states}{options}")


@lru_cache(maxsize=8)
def _opened(paths: tuple[str, ...], options: BuildOptions, state: str) -> CellStore:
    """The store at paths; of files, the one in the cache, built where there is none."""
    if len(paths) == 1 and is_store(Path(paths[0])):
        store = open_store(Path(paths[0]))
        if store.meta["values"] != options.values:
            raise InputError(
                f"data.values must be {store.meta['values']}, as {paths[0]} has, "
                f"got {options.values}."
            )
        _check_matrix(store, options.matrix)
        return store
    place = cache_folder("cells") / state
    files = [Path(path) for path in paths]
    return open_cached(
        place, open_store, lambda: build_store(place, files, options, listener.get())
    )


def _check_matrix(store: CellStore, matrix: str) -> None:
    """Raise InputError where a store was built of another matrix than the recipe names."""
    got = sorted({file["matrix"] for file in store.meta["files"]})
    # An .h5mu has it in a modality: rna:layers[counts].
    if matrix != "X" and all(name.rpartition(":")[2] != matrix for name in got):
        raise InputError(
            f"data.matrix must be {got[0]}, of which the store {store.path} was built, got "
            f"{matrix}. Name that one, here or by --matrix, or build a store of the other."
        )
