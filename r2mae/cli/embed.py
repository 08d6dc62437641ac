"""`r2mae embed`: features of any data as a .npy file, and beside it a .csv that says what its rows are."""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

from r2mae.cli.show import show
from r2mae.errors import InputError


def run(arguments: argparse.Namespace) -> None:
    """Write (N, D) float32, rows in the order of the data, and as many names and classes."""
    output = Path(arguments.output)
    if output.suffix != ".npy" or not output.parent.is_dir():
        raise InputError(f"--output must be a .npy file in an existing folder, got {str(output)!r}.")
    import numpy as np

    from r2mae.evaluation.features import extract
    from r2mae.recipe import load_run, open_paths, open_split

    loaded = load_run(arguments.run, arguments.checkpoint)
    is_split = arguments.data in ("train", "test")
    source = open_split(loaded.recipe, arguments.data) if is_split else open_paths(loaded.recipe, [arguments.data])
    skipped: set[str] = set()
    read: list[int] = []
    features = extract(
        loaded.model,
        source,
        skipped=skipped,
        on_batch=lambda batch: read.extend(batch["indices"].tolist()),
        progress=show("embed"),
    )
    names = output.with_suffix(".csv")
    unfinished, unfinished_names = (path.with_name(f".writing_{path.name}") for path in (output, names))
    # numpy appends .npy to names without it; ours ends in it.
    np.save(unfinished, features)
    _write_names(unfinished_names, source, read)
    unfinished.replace(output)
    unfinished_names.replace(names)
    if skipped:
        print(f"{len(skipped)} unreadable samples stand for a neighbour, the first {min(skipped)}", file=sys.stderr)
    result = {
        "output": str(output),
        "names": str(names),
        "samples": len(features),
        "features": features.shape[1],
        "skipped_samples": sorted(skipped),
    }
    print(
        json.dumps(result)
        if arguments.json
        else f"{output}: {len(features)} x {features.shape[1]} float32, rows named in {names}"
    )


def _write_names(path: Path, source: Any, indices: list[int]) -> None:
    """A line for each sample read: its name, and its class where known."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("name", "class"))
        for index in indices:
            known = source.labels is not None
            writer.writerow((source.name(index), source.class_names[int(source.labels[index])] if known else ""))
