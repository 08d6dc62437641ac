"""`r2mae embed`: features of any data, as .npy beside a .names.csv of its rows, as .parquet, or in an .h5ad."""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

from r2mae.cli.samples import SPLITS, names_of, open_samples, tell_left_out
from r2mae.cli.show import show
from r2mae.errors import InputError


def run(arguments: argparse.Namespace) -> None:
    """Write (N, D) float32, rows in the order of the data, and as many names and classes."""
    output = Path(arguments.output)
    if output.suffix not in (".npy", ".parquet", ".h5ad") or not output.parent.is_dir():
        raise InputError(f"--output must be a .npy, .parquet or .h5ad file in an existing folder, got {str(output)!r}.")
    given = Path(arguments.data).resolve()
    if given in (output.resolve(), output.with_suffix(".names.csv").resolve()):
        raise InputError(f"--output must not write over DATA, got {str(output)!r}. Name another file.")
    from r2mae.datasets.source import root_of
    from r2mae.evaluation.features import extract
    from r2mae.recipe.run import load_run

    loaded = load_run(arguments.run, arguments.checkpoint)
    is_split, is_cell = arguments.data in SPLITS, loaded.recipe.modality == "cell"
    if output.suffix == ".h5ad" and (is_split or not is_cell or Path(arguments.data).resolve() == output.resolve()):
        raise InputError(
            "--output must be .npy or .parquet here: .h5ad is for another file of cells, and for runs on cells."
        )
    source = open_samples(loaded, arguments)
    skipped: set[str] = set()
    read: list[int] = []
    features = extract(
        loaded.model,
        source,
        skipped=skipped,
        on_batch=lambda batch: read.extend(batch["indices"].tolist()),
        progress=show("embed"),
    )
    result: dict[str, Any] = {"output": str(output), "samples": len(features), "features": features.shape[1]}
    if output.suffix == ".h5ad":
        from r2mae.interop.anndata import write_features

        write_features(
            Path(arguments.data), output, features, [root_of(source).name(row).rsplit(" ", 1)[1] for row in read]
        )
    elif output.suffix == ".parquet":
        _write_parquet(output, features, source, read)
    else:
        result["names"] = _write_array(output, features, source, read)
    if is_cell and not is_split:
        result["genes"] = source.overlap()  # type: ignore[attr-defined]
    result["skipped_samples"] = sorted(skipped)
    tell_left_out(source, skipped)
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


def _write_array(output: Path, features: Any, source: Any, read: list[int]) -> str:
    """The array, and beside it the names of its rows; both get their names when they are whole."""
    import numpy as np

    names = output.with_suffix(".names.csv")
    unfinished, unfinished_names = (path.with_name(f".writing_{path.name}") for path in (output, names))
    # numpy appends .npy to names without it; ours ends in it.
    np.save(unfinished, features)
    _write_names(unfinished_names, source, read)
    unfinished.replace(output)
    unfinished_names.replace(names)
    return str(names)


def _write_parquet(output: Path, features: Any, source: Any, read: list[int]) -> None:
    """A row for each sample read: its name, its class where known, its features as a list."""
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet  # type: ignore[import-untyped]

    names, classes = zip(*names_of(source, read), strict=True)
    values = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1])
    unfinished = output.with_name(f".writing_{output.name}")
    parquet.write_table(pa.table({"name": list(names), "class": list(classes), "features": values}), unfinished)
    unfinished.replace(output)


def _write_names(path: Path, source: Any, indices: list[int]) -> None:
    """A line for each sample read: its name, and its class where known."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("name", "class"))
        writer.writerows(names_of(source, indices))
