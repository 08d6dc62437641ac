"""Files of cells -> a store: two passes in constant memory, continued by the same call where it was stopped.

The first pass checks every count and adds up genes, file by file (kept in `scan_<n>.npz`); then the vocabulary is
known, and so is the size of everything. The second writes block by block, and after each says in `journal.json` how far
it came. The folder gets its name when it is whole.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from r2mae.data.atomic import atomic_file, write_atomic
from r2mae.data.building import building, one_at_a_time
from r2mae.data.fingerprint import fingerprint_files, shortened
from r2mae.errors import InputError
from r2mae.modalities.cell.data.blocks import CellFile, Values
from r2mae.modalities.cell.data.files import open_file
from r2mae.modalities.cell.data.genes import check_unique, choose_genes, match_genes
from r2mae.modalities.cell.data.store import (
    ARRAYS,
    FORMAT,
    META,
    CellStore,
    is_store,
    open_store,
)
from r2mae.modalities.cell.schema import GenesSection
from r2mae.progress import Progress, silent

Array = npt.NDArray[Any]
_JOURNAL = "journal.json"


@dataclass(frozen=True)
class BuildOptions:
    """What decides a store beside its files; see `schema.cell`. Cells with fewer genes or counts are left out."""

    matrix: str = "X"
    values: Values = "counts"
    genes: GenesSection = field(default_factory=GenesSection)
    min_genes: int = 1
    min_counts: int = 1


@dataclass(frozen=True)
class _Scan:
    """What the first pass finds of a file."""

    stats: Array  # (3, G) of the file's genes, over kept cells
    is_kept: Array  # (N,) bool
    totals: Array  # (N,)
    greatest: float


def build_store(
    out: Path,
    paths: list[Path],
    options: BuildOptions = BuildOptions(),
    progress: Progress = silent,
) -> CellStore:
    """Build, go on with, or open the finished store of these files and options.

    Raises: InputError for damaged files, matrices that are no counts, and a folder that holds something else.
    """
    files = [open_file(path, options.matrix, options.genes.by) for path in paths]
    for file in files:
        check_unique(file.path, file.gene_names)
    with one_at_a_time(out):
        return _build(out, files, options, progress)


def _build(
    out: Path, files: list[CellFile], options: BuildOptions, progress: Progress
) -> CellStore:
    fingerprint = _fingerprint(files, options)
    if is_store(out):
        store = open_store(out)
        if store.fingerprint != fingerprint:
            raise InputError(
                f"{out} must be absent or of the same files and options, got another store. Name another."
            )
        return store
    with building(out, fingerprint) as work:
        _fill(work, files, options, fingerprint, progress)
    return open_store(out)


def _fill(
    work: Path,
    files: list[CellFile],
    options: BuildOptions,
    fingerprint: str,
    progress: Progress,
) -> None:
    scans = [
        _scan(file, work / f"scan_{number}.npz", options, progress)
        for number, file in enumerate(files)
    ]
    if not any(scan.is_kept.any() for scan in scans):
        raise InputError(
            f"{files[0].path} must hold a cell with counts, got {len(files[0])} empty cells. Use other data."
        )
    genes = _vocabulary(files, scans, options.genes)
    columns = [match_genes(file.path, file.gene_names, genes) for file in files]
    stats = np.zeros((3, len(genes)))
    for scan, places in zip(scans, columns, strict=True):
        stats[:, places[places >= 0]] += scan.stats[:, places >= 0]
    _write(work, files, scans, columns, stats, options.values, progress)
    obs = _write_obs(work, files, scans)
    meta = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "values": options.values,
        "cells": int(sum(scan.is_kept.sum() for scan in scans)),
        "entries": int(stats[0].sum()),
        "files": [
            _describe(*parts, genes)
            for parts in zip(files, scans, columns, strict=True)
        ],
        "obs": obs,
        "bytes": {name: (work / f"{name}.npy").stat().st_size for name in ARRAYS},
        "genes": genes,
    }
    (work / META).write_text(json.dumps(meta))
    for leftover in (*work.glob("scan_*.npz"), work / _JOURNAL):
        leftover.unlink()


def _fingerprint(files: list[CellFile], options: BuildOptions) -> str:
    words = json.dumps(
        asdict(options) | {"genes": options.genes.model_dump(mode="json")},
        sort_keys=True,
    )
    digest = hashlib.sha256(words.encode())
    for file in files:
        members = (
            [file.path]
            if file.path.is_file()
            else sorted(part for part in file.path.iterdir() if part.is_file())
        )
        digest.update(fingerprint_files(file.path.parent, members).encode())
    return shortened(digest)


def _scan(
    file: CellFile, kept_in: Path, options: BuildOptions, progress: Progress
) -> _Scan:
    if kept_in.is_file():
        with np.load(kept_in) as saved:
            return _Scan(
                saved["stats"],
                saved["is_kept"],
                saved["totals"],
                float(saved["greatest"]),
            )
    stats, greatest = np.zeros((3, len(file.gene_names))), 0.0
    is_kept, totals = np.zeros(len(file), dtype=np.bool_), np.zeros(len(file))
    for first, block in file.blocks(options.values):
        block.eliminate_zeros()
        part = slice(first, first + block.shape[0])
        totals[part] = np.asarray(block.sum(axis=1)).ravel()
        is_kept[part] = np.diff(block.indptr) >= options.min_genes
        if options.values == "counts":
            is_kept[part] &= totals[part] >= options.min_counts
        chosen = block[is_kept[part]]
        values = chosen.data.astype(np.float64)
        for row, weights in enumerate((None, values, values**2)):
            stats[row] += np.bincount(
                chosen.indices, weights, minlength=len(file.gene_names)
            )
        greatest = max(greatest, float(values.max(initial=0)))
        progress(f"{file.path.name}, checking", part.stop, len(file))
    arrays: Any = {"stats": stats, "is_kept": is_kept, "totals": totals}
    with atomic_file(kept_in) as unfinished:
        np.savez(unfinished, **arrays, greatest=greatest)
    return _Scan(stats, is_kept, totals, greatest)


def _vocabulary(
    files: list[CellFile], scans: list[_Scan], section: GenesSection
) -> list[str]:
    """All genes in order of appearance, of which the section chooses."""
    place: dict[str, int] = {}
    for file in files:
        for name in file.gene_names:
            place.setdefault(name, len(place))
    stats = np.zeros((3, len(place)))
    for file, scan in zip(files, scans, strict=True):
        stats[:, [place[name] for name in file.gene_names]] += scan.stats
    return choose_genes(
        list(place), stats, int(sum(scan.is_kept.sum() for scan in scans)), section
    )


def _describe(
    file: CellFile, scan: _Scan, columns: Array, genes: list[str]
) -> dict[str, Any]:
    found = set(columns[columns >= 0].tolist())
    return {
        "name": file.path.stem.removesuffix(".h5ad"),
        "path": str(file.path),
        "matrix": file.matrix,
        "cells": len(file),
        "kept": int(scan.is_kept.sum()),
        "matched": len(found),
        "left_out": int((columns < 0).sum()),
        "missing": [number for number in range(len(genes)) if number not in found],
    }


def _write(
    work: Path,
    files: list[CellFile],
    scans: list[_Scan],
    columns: list[Array],
    stats: Array,
    values: Values,
    progress: Progress,
) -> None:
    """Write the matrix and the arrays of cells, from where the journal says that an earlier build stopped."""
    shapes = _array_shapes(scans, stats, values)
    _write_names(work, files, scans, stats)
    journal = work / _JOURNAL
    is_new = not journal.is_file()
    done = {"file": 0, "cell": 0, "row": 0, "entry": 0}
    if not is_new:
        done = json.loads(journal.read_text())
    writers = {
        name: _Writer(work / f"{name}.npy", *shape, fresh=is_new)
        for name, shape in shapes.items()
    }
    writers["starts"].put(0, np.zeros(1, dtype=np.int64))
    for number in range(done["file"], len(files)):
        file, scan = files[number], scans[number]
        first_cell = done["cell"] if number == done["file"] else 0
        for first, block in file.blocks(values, first_cell):
            block.eliminate_zeros()
            part = slice(first, first + block.shape[0])
            cells = _in_order(block[scan.is_kept[part]], columns[number])
            _put(writers, cells, done["row"], done["entry"], number)
            done = {
                "file": number,
                "cell": part.stop,
                "row": done["row"] + cells.shape[0],
                "entry": done["entry"] + cells.nnz,
            }
            write_atomic(journal, json.dumps(done))
            progress(f"{file.path.name}, writing", part.stop, len(file))
    for writer in writers.values():
        writer.file.close()
    assert (done["row"], done["entry"]) == (shapes["totals"][1], shapes["genes"][1])


def _write_names(
    work: Path, files: list[CellFile], scans: list[_Scan], stats: Array
) -> None:
    """Statistics of genes, and names of the cells that are kept."""
    np.save(work / "stats.npy", stats)
    pairs = zip(files, scans, strict=True)
    names = [
        np.char.encode(file.cell_names[scan.is_kept], "utf-8") for file, scan in pairs
    ]
    np.save(work / "names.npy", np.concatenate(names))


def _array_shapes(
    scans: list[_Scan], stats: Array, values: Values
) -> dict[str, tuple[np.dtype[Any], int]]:
    """(type, items) of each array of the store; counts and genes take two bytes where they fit."""
    cells, entries = int(sum(scan.is_kept.sum() for scan in scans)), int(stats[0].sum())
    gene_type = np.uint16 if stats.shape[1] <= 1 << 16 else np.uint32
    count_type = (
        np.uint16 if max(scan.greatest for scan in scans) < 1 << 16 else np.uint32
    )
    value_type = np.float32 if values == "scaled" else count_type
    return {
        "starts": (np.dtype(np.int64), cells + 1),
        "genes": (np.dtype(gene_type), entries),
        "values": (np.dtype(value_type), entries),
        "totals": (np.dtype(np.float64), cells),
        "file": (np.dtype(np.int32), cells),
    }


def _put(
    writers: dict[str, "_Writer"],
    cells: sparse.csr_matrix,
    row: int,
    entry: int,
    file: int,
) -> None:
    """Write cells of one file from a row and an entry on, and flush."""
    writers["starts"].put(row + 1, entry + cells.indptr[1:])
    writers["genes"].put(entry, cells.indices)
    writers["values"].put(entry, cells.data)
    writers["totals"].put(row, np.asarray(cells.sum(axis=1)).ravel())
    writers["file"].put(row, np.full(cells.shape[0], file))
    for writer in writers.values():
        writer.flush()


def _in_order(block: sparse.csr_matrix, places: Array) -> sparse.csr_matrix:
    """The block's known genes under their numbers in the vocabulary, rising within a cell."""
    numbers = places[block.indices]
    known = numbers >= 0
    starts = np.concatenate([[0], np.cumsum(known)])[block.indptr]
    found = sparse.csr_matrix(
        (block.data[known], numbers[known], starts),
        shape=(block.shape[0], places.max() + 1),
    )
    found.sort_indices()
    return found


class _Writer:
    """An array on disk of known type and length, written in parts without holding it."""

    def __init__(
        self, path: Path, kind: np.dtype[Any], length: int, *, fresh: bool
    ) -> None:
        if fresh:
            with path.open("wb") as file:
                header = {"descr": kind.str, "fortran_order": False, "shape": (length,)}
                np.lib.format.write_array_header_1_0(file, header)
                file.truncate(file.tell() + length * kind.itemsize)
        self.kind = kind
        self.file = path.open("r+b")
        np.lib.format.read_magic(self.file)
        np.lib.format.read_array_header_1_0(self.file)
        self.offset = self.file.tell()

    def put(self, at: int, part: Array) -> None:
        """Write part from the at-th item on."""
        self.file.seek(self.offset + at * self.kind.itemsize)
        self.file.write(np.ascontiguousarray(part, dtype=self.kind).tobytes())

    def flush(self) -> None:
        """Until it is on disk."""
        self.file.flush()
        os.fsync(self.file.fileno())


def _write_obs(work: Path, files: list[CellFile], scans: list[_Scan]) -> dict[str, Any]:
    """Every column of any file: numbers where all files have numbers, words otherwise; none where a file has none."""
    (work / "obs").mkdir(exist_ok=True)
    names = list(
        dict.fromkeys(str(name) for file in files for name in file.obs.columns)
    )
    return {
        name: _write_column(work, f"{number}.npy", name, files, scans)
        for number, name in enumerate(names)
    }


def _write_column(
    work: Path, target: str, name: str, files: list[CellFile], scans: list[_Scan]
) -> dict[str, Any]:
    import pandas as pd

    parts = [
        file.obs[name][scan.is_kept]
        if name in file.obs.columns
        else pd.Series(np.nan, index=range(scan.is_kept.sum()))
        for file, scan in zip(files, scans, strict=True)
    ]
    is_number = all(
        pd.api.types.is_numeric_dtype(part) and not pd.api.types.is_bool_dtype(part)
        for part in parts
    )
    if is_number:
        np.save(
            work / "obs" / target,
            np.concatenate([part.to_numpy(dtype=np.float64) for part in parts]),
        )
        return {"file": target, "categories": None}
    words = pd.concat([part.astype(object) for part in parts], ignore_index=True)
    codes, categories = pd.factorize(
        words.where(words.isna(), words.astype(str)), sort=True
    )
    np.save(work / "obs" / target, codes.astype(np.int32))
    return {"file": target, "categories": [str(category) for category in categories]}
