"""`r2mae embed`: features of any data, as .npy beside a .names.csv of its rows, as .parquet, or in an .h5ad."""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

from r2mae.cli.samples import SPLITS, ask, check_apart, check_output, names_of, open_samples, tell_left_out
from r2mae.datasets.building import whole
from r2mae.errors import InputError


def run(arguments: argparse.Namespace) -> None:
    """Write (N, D) float32, rows in the order of the data, and as many names and classes."""
    output = Path(arguments.output)
    check_output(output, (".npy", ".parquet", ".h5ad"), arguments)
    names = output.with_suffix(".names.csv")
    if output.suffix == ".npy" and names.resolve() == Path(arguments.data).resolve():
        raise InputError(f"--output must not write over DATA, got {names} for its names. Name another file.")
    from r2mae.datasets.source import root_of
    from r2mae.recipe.run import load_run

    loaded = load_run(arguments.run, arguments.checkpoint)
    is_split, is_cell = arguments.data in SPLITS, loaded.recipe.modality == "cell"
    if output.suffix == ".h5ad" and (is_split or not is_cell):
        raise InputError(
            "--output must be .npy or .parquet here: .h5ad is for another file of cells, and for runs on cells."
        )
    check_apart(output, loaded, arguments)
    source = open_samples(loaded, arguments)
    features, read, unreadable = ask(loaded, source, "embed", "embed")
    result: dict[str, Any] = {"output": str(output), "samples": len(features), "features": features.shape[1]}
    if output.suffix == ".h5ad":
        from r2mae.interop.anndata import write_features

        write_features(
            Path(arguments.data), output, features, [root_of(source).name(row).rsplit(" ", 1)[1] for row in read]
        )
    elif output.suffix == ".parquet":
        _write_parquet(output, features, source, read)
    else:
        _write_array(output, names, features, source, read)
        result["names"] = str(names)
    if is_cell and not is_split:
        result["genes"] = source.overlap()
    result["skipped_samples"] = unreadable
    tell_left_out(source, unreadable)
    if arguments.json:
        print(json.dumps(result))
        return
    where = {".npy": f", rows named in {result.get('names')}", ".parquet": ", with name and class"}
    where[".h5ad"] = " in obsm['X_r2mae']"
    print(f"{output}: {len(features)} x {features.shape[1]} float32{where[output.suffix]}")
    if "genes" in result:
        genes = result["genes"]
        print(
            f"  of the run's {genes['known']:,} genes {genes['found']:,} found, "
            f"{genes['missing']:,} missing (as if hidden); {genes['ignored']:,} others ignored"
        )


def _write_array(output: Path, names: Path, features: Any, source: Any, read: list[int]) -> None:
    """The array, and beside it the names of its rows; both get their names when they are whole."""
    import numpy as np

    with whole(output) as unfinished, whole(names) as unfinished_names:
        np.save(unfinished, features)  # would append .npy to names without it; ours ends in it
        _write_names(unfinished_names, source, read)


def _write_parquet(output: Path, features: Any, source: Any, read: list[int]) -> None:
    """A row for each sample read: its name, its class where known, its features as a list."""
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet  # type: ignore[import-untyped]

    names, classes = zip(*names_of(source, read), strict=True)
    values = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1])
    with whole(output) as unfinished:
        parquet.write_table(pa.table({"name": list(names), "class": list(classes), "features": values}), unfinished)


def _write_names(path: Path, source: Any, indices: list[int]) -> None:
    """A line for each sample read: its name, and its class where known."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("name", "class"))
        writer.writerows(names_of(source, indices))
