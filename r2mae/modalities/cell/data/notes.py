"""What reading files of cells left out, summed or rounded, in lines for the user."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any


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
