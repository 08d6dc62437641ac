"""Files of cells -> a store: two passes in constant memory, resumed after an interruption.

The first pass (scan.py) checks every count and sums up each gene, file by file. The gene
vocabulary and all sizes are then fixed. The second (write.py) writes block by block, and
after each records its progress in `journal.json`. The folder is renamed to its final name
when complete.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from r2mae.data.atomic import atomic_folder
from r2mae.data.fingerprint import fingerprint_files, shortened
from r2mae.data.journal import Journal
from r2mae.data.lock import one_at_a_time
from r2mae.errors import InputError
from r2mae.modalities.cell.data.blocks import CellFile
from r2mae.modalities.cell.data.files import files_of, open_file
from r2mae.modalities.cell.data.genes import match_genes
from r2mae.modalities.cell.data.scan import (
    Array,
    BuildOptions,
    Scan,
    choose_vocabulary,
    scan_file,
)
from r2mae.modalities.cell.data.store import (
    ARRAYS,
    FORMAT,
    META,
    CellStore,
    is_store,
    open_store,
)
from r2mae.modalities.cell.data.write import StoreWriter, write_obs
from r2mae.progress import Progress, silent

_DEFAULTS = BuildOptions()


def build_store(
    out: Path,
    paths: list[Path],
    options: BuildOptions = _DEFAULTS,
    progress: Progress = silent,
) -> CellStore:
    """Build or resume the store of these files and options, or open it if complete.

    Raises: InputError for damaged files, matrices without raw counts, or a folder with
        other contents.
    """
    files = [
        open_file(
            path,
            options.matrix,
            options.genes.by,
            options.genes.duplicates,
            round_counts=options.round_counts,
        )
        for path in paths
    ]
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
    with atomic_folder(out, fingerprint) as work:
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
        scan_file(file, work / f"scan_{number}.npz", options, progress)
        for number, file in enumerate(files)
    ]
    if not any(scan.is_kept.any() for scan in scans):
        raise InputError(
            f"{files[0].path} must hold a cell with counts, got {len(files[0])} empty cells. Use other data."
        )
    genes = choose_vocabulary(files, scans, options.genes)
    columns = [match_genes(file.path, file.gene_names, genes) for file in files]
    stats = np.zeros((3, len(genes)))
    for scan, places in zip(scans, columns, strict=True):
        stats[:, places[places >= 0]] += scan.stats[:, places >= 0]
    writer = StoreWriter(work, files, scans, columns, stats, options.values)
    writer.write(progress)
    meta = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "values": options.values,
        "cells": writer.cells,
        "entries": writer.entries,
        "files": [
            _describe(*parts, genes)
            for parts in zip(files, scans, columns, strict=True)
        ],
        "obs": write_obs(work, files, scans),
        "bytes": {name: (work / f"{name}.npy").stat().st_size for name in ARRAYS},
        "genes": genes,
    }
    (work / META).write_text(json.dumps(meta))
    for leftover in work.glob("scan_*.npz"):
        leftover.unlink()
    Journal(work).delete()


def _fingerprint(files: list[CellFile], options: BuildOptions) -> str:
    described = json.dumps(
        asdict(options) | {"genes": options.genes.model_dump(mode="json")},
        sort_keys=True,
    )
    digest = hashlib.sha256(described.encode())
    for file in files:
        members = files_of(file.path)
        digest.update(fingerprint_files(file.path.parent, members).encode())
    return shortened(digest)


def _describe(
    file: CellFile, scan: Scan, columns: Array, genes: list[str]
) -> dict[str, Any]:
    matched = set(columns[columns >= 0].tolist())
    return {
        "name": file.path.stem.removesuffix(".h5ad"),
        "path": str(file.path),
        "matrix": file.matrix,
        "cells": len(file),
        "kept": int(scan.is_kept.sum()),
        "matched": len(matched),
        "left_out": int((columns < 0).sum()),
        "other_features": file.left_out,
        "summed_genes": file.features.num_summed,
        "doubled_entries": scan.doubled,
        "rounded": scan.rounded,
        "missing": [number for number in range(len(genes)) if number not in matched],
    }
