"""Samples that a verb reads for a run: a split of its recipe, or a file that a user names."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from r2mae.errors import InputError

SPLITS = ("train", "test")


def open_samples(loaded: Any, arguments: argparse.Namespace) -> Any:
    """The `SampleSource` of arguments.data, column and min_overlap, as the run reads it.

    Raises: InputError for a column where none is read, and for what the modality refuses.
    """
    from r2mae.recipe.modality import open_paths, open_split

    data, modality, options = arguments.data, loaded.recipe.modality, {}
    if modality == "cell":
        options["least_overlap"] = arguments.min_overlap
    if arguments.column is not None:
        if data in SPLITS or modality not in ("language", "dna"):
            raise InputError("--column must be given for a table of texts or sequences alone, got other data.")
        options = {"column": arguments.column}
    return open_split(loaded.recipe, data) if data in SPLITS else open_paths(loaded.recipe, [data], **options)


def names_of(source: Any, read: Iterable[int]) -> Iterator[tuple[str, str]]:
    """(name, class or "") of samples, whose indices are those of the whole source where this is a part."""
    from r2mae.datasets.source import root_of

    whole = root_of(source)
    labels = whole.labels
    for index in read:
        label = -1 if labels is None else int(labels[index])
        yield whole.name(index), whole.class_names[label] if label >= 0 else ""


def tell_left_out(source: Any, skipped: set[str]) -> None:
    """Say on stderr what a source leaves out, and which samples could not be read."""
    if note := getattr(source, "note", ""):
        print(f"left out: {note}", file=sys.stderr)
    if skipped:
        print(f"{len(skipped)} unreadable samples stand for a neighbour, the first {min(skipped)}", file=sys.stderr)
