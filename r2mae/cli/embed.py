"""`r2mae embed`: features of any data, as .npy beside a .names.csv of its rows, as .parquet, or in an .h5ad."""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

from r2mae.cli.arguments import wing_of_run
from r2mae.cli.samples import (
    SPLITS,
    add_data,
    add_data_options,
    ask,
    check_apart,
    check_output,
    names_of,
    open_samples,
    tell_left_out,
)
from r2mae.data.building import whole
from r2mae.errors import InputError
from r2mae.wing import LoadedRun

_FORMATS = (".npy", ".parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`RUN`, `DATA` and `--output`."""
    add_data(parser)
    output = "FILE.npy, (N, D) float32; FILE.parquet; of cells also FILE.h5ad, a copy of DATA with obsm[X_r2mae]"
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help=output)


add_run_arguments = add_data_options


def run(arguments: argparse.Namespace) -> None:
    """Write (N, D) float32, rows in the order of the data, and as many names and classes."""
    output = Path(arguments.output)
    names = output.with_suffix(".names.csv")
    if output.suffix == ".npy" and names.resolve() == Path(arguments.data).resolve():
        raise InputError(
            f"--output must not write over DATA, got {names} for its names. Name another file."
        )
    wing = wing_of_run([arguments.run])
    more = (
        () if wing is None or arguments.data in SPLITS else tuple(wing.feature_formats)
    )
    check_output(output, (*_FORMATS, *more), arguments)
    from r2mae.recipe.run import load_run

    loaded = load_run(arguments.run, arguments.checkpoint)
    check_apart(output, loaded, arguments)
    source = open_samples(loaded, arguments)
    features, read, unreadable = ask(loaded, source, "embed", "embed")
    result: dict[str, Any] = {
        "output": str(output),
        "samples": len(features),
        "features": features.shape[1],
    }
    if output.suffix == ".parquet":
        _write_parquet(output, features, source, read)
    elif output.suffix == ".npy":
        _write_array(output, names, features, source, read)
        result["names"] = str(names)
    else:
        _write_special(loaded, output, arguments.data, features, source, read)
    match = {} if arguments.data in SPLITS else loaded.wing.describe_match(source)
    text = match.pop("text", None)
    result |= match | {"skipped_samples": unreadable}
    tell_left_out(source, unreadable)
    if arguments.json:
        print(json.dumps(result))
        return
    where = {
        ".npy": f", rows named in {result.get('names')}",
        ".parquet": ", with name and class",
    }
    shape = f"{len(features)} x {features.shape[1]} float32"
    print(f"{output}: {shape}{where.get(output.suffix, '')}")
    if text:
        print(f"  {text}")


def _write_special(
    loaded: LoadedRun,
    output: Path,
    data: str,
    features: Any,
    source: Any,
    read: list[int],
) -> None:
    """A format of the run's modality."""
    from r2mae.data.source import root_of

    names = [root_of(source).name(row).rsplit(" ", 1)[1] for row in read]
    loaded.wing.feature_formats[output.suffix](Path(data), output, features, names)


def _write_array(
    output: Path, names: Path, features: Any, source: Any, read: list[int]
) -> None:
    """The array, and beside it the names of its rows; both get their names when they are whole."""
    import numpy as np

    with whole(output) as unfinished, whole(names) as unfinished_names:
        np.save(
            unfinished, features
        )  # would append .npy to names without it; ours ends in it
        _write_names(unfinished_names, source, read)


def _write_parquet(output: Path, features: Any, source: Any, read: list[int]) -> None:
    """A row for each sample read: its name, its class where known, its features as a list."""
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet  # type: ignore[import-untyped]

    names, classes = zip(*names_of(source, read), strict=True)
    values = pa.FixedSizeListArray.from_arrays(
        pa.array(features.ravel()), features.shape[1]
    )
    with whole(output) as unfinished:
        parquet.write_table(
            pa.table({"name": list(names), "class": list(classes), "features": values}),
            unfinished,
        )


def _write_names(path: Path, source: Any, indices: list[int]) -> None:
    """A line for each sample read: its name, and its class where known."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("name", "class"))
        writer.writerows(names_of(source, indices))
