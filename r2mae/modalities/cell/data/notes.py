"""What reading files of cells left out, summed or rounded, in lines for the user."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from r2mae.modalities.cell.data.cells import Cells

_NUM_NAMED = 5  # genes in a line


def reading_notes(meta: Mapping[str, Any]) -> list[str]:
    """A line for each kind of change to the data of a store's files.

    meta: of a store. Stores of older versions have no counts, and give no lines.
    """
    return [*_notes_on_genes(meta["files"]), *_notes_on_obs(meta["obs"])]


def _notes_on_genes(files: list[Mapping[str, Any]]) -> Iterator[str]:
    left_out: Counter[str] = Counter()
    for file in files:
        left_out.update(file.get("other_features", {}))
    if left_out:
        counts = ", ".join(f"{n:,} {name}" for name, n in left_out.items())
        yield f"features other than genes left out: {counts}"
    total: Counter[str] = Counter()
    for file in files:
        for key in ("summed_genes", "doubled_entries", "rounded"):
            total[key] += file.get(key, 0)
    if total["summed_genes"]:
        yield f"genes summed with another of the same name: {total['summed_genes']:,}"
    if total["doubled_entries"]:
        yield f"doubled entries of a gene and cell summed: {total['doubled_entries']:,}"
    if total["rounded"]:
        yield f"values rounded to whole counts: {total['rounded']:,}"


def _notes_on_obs(columns: Mapping[str, Any]) -> Iterator[str]:
    for name, column in columns.items():
        if column.get("mixed"):
            yield f"obs {name} is text in some files and numbers in others: read as text"


def choice_notes(cells: "Cells", is_kept: Any) -> dict[str, str]:
    """{title: text} on cells that filters leave out, and genes that no file has.

    is_kept: (N,) which cells are read.
    """
    notes = {}
    if num_left_out := int((~is_kept).sum()):
        why = "by data.min_genes, data.min_counts, or without any of the model's genes"
        notes["cells"] = f"{num_left_out:,} of {len(cells):,} left out: {why}"
    is_missing = ~cells.measured.any(axis=0)
    missing = [cells.genes[gene] for gene in np.flatnonzero(is_missing)]
    if missing:
        named = ", ".join(missing[:_NUM_NAMED])
        share = f"{len(missing):,} of the model's {len(cells.genes):,}"
        notes["genes"] = f"{share} are in no file, the first {named}"
    return notes
