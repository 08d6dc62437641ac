"""`r2mae embed`: features of any data, as .npy beside a .names.csv of its rows, as .parquet, or in an .h5ad.

With `--tokens`, the features of every token, as .npy or .npz.
"""

import argparse
import csv
import os
from pathlib import Path
from typing import Any

from r2mae.cli.arguments import add_read_out, wing_of_run
from r2mae.cli.inference import chosen_inference
from r2mae.cli.read_out import find_read_out, show_read_out
from r2mae.cli.samples import (
    INCOMPLETE,
    SPLITS,
    add_data,
    add_data_options,
    check_apart,
    check_output,
    compute_outputs,
    names_of,
    open_samples,
    report_left_out,
)
from r2mae.cli.token_files import append_tokens, open_token_file
from r2mae.data.atomic import atomic_file
from r2mae.errors import InputError
from r2mae.json_text import json_text
from r2mae.loaded_run import LoadedRun

_FORMATS = (".npy", ".parquet")
_TOKEN_FORMATS = (".npy", ".npz")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`RUN`, `DATA` and `--output`."""
    add_data(parser)
    output = "FILE.npy, (N, D) float32; FILE.parquet; of cells also FILE.h5ad, a copy of DATA with obsm[X_r2mae]"
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help=output)
    add_read_out(parser)
    tokens = (
        "write the features of every token: (N, tokens, features) as FILE.npy, or, where "
        "samples have different numbers of tokens, FILE.npz with tokens and offsets"
    )
    parser.add_argument("--tokens", action="store_true", help=tokens)


add_run_arguments = add_data_options


def run(arguments: argparse.Namespace) -> int:
    """Write (N, D) float32, rows in the order of the data, and as many names and classes.

    Returns: 3 where unreadable samples were left out, else 0.
    """
    output = Path(arguments.output)
    _check(output, arguments)
    from r2mae.recipe.run import load_run

    loaded = load_run(arguments.run, arguments.checkpoint, arguments.weights)
    check_apart(output, loaded, arguments)
    source = open_samples(loaded, arguments)
    with chosen_inference(loaded, arguments):
        loaded, about = find_read_out(loaded, loaded.recipe, arguments)
        if not arguments.json:
            show_read_out(about)
        if arguments.tokens:
            result, unreadable = _write_tokens(loaded, output, source)
        else:
            result, unreadable = _write_features(loaded, output, arguments.data, source)
    result |= about
    match = loaded.wing.describe_match(source)
    text = match.pop("text", None)
    result |= match | {"skipped_samples": unreadable}
    report_left_out(source, unreadable)
    print(json_text(result)) if arguments.json else _show(result, text)
    return INCOMPLETE if unreadable else 0


def _write_features(
    loaded: LoadedRun, output: Path, data: str, source: Any
) -> tuple[dict[str, Any], list[str]]:
    """(description of the file, names of unreadable samples)."""
    features, rows, unreadable = compute_outputs(loaded, source, "embed", "embed")
    result: dict[str, Any] = {
        "output": str(output),
        "samples": len(features),
        "features": features.shape[1],
    }
    if output.suffix == ".parquet":
        _write_parquet(output, features, source, rows)
    elif output.suffix == ".npy":
        result["names"] = str(_names_file(output))
        _write_array(output, features, source, rows)
    else:
        _write_wing_format(loaded, output, data, features, source, rows)
    return result, unreadable


def _write_tokens(
    loaded: LoadedRun, output: Path, source: Any
) -> tuple[dict[str, Any], list[str]]:
    """(description of the file, names of unreadable samples)."""
    names = _names_file(output)
    with atomic_file(output) as unfinished, atomic_file(names) as unfinished_names:
        with open_token_file(output, unfinished) as file:
            rows, unreadable = append_tokens(loaded, source, file)
        _write_names(unfinished_names, source, rows)
    result = {
        "output": str(output),
        "samples": len(rows),
        "tokens": sum(file.lengths),
        "features": file.width,
        "names": str(names),
    }
    return result, unreadable


def _check(output: Path, arguments: argparse.Namespace) -> None:
    """Raise InputError for a format that the run cannot write, or an output that overwrites DATA."""
    names = _names_file(output)
    if arguments.tokens and arguments.pool is not None:
        raise InputError(
            f"--pool must not be given with --tokens, which are not pooled, got "
            f"{arguments.pool}. Leave one of them out."
        )
    if output.suffix in _TOKEN_FORMATS and os.path.realpath(names) == os.path.realpath(
        arguments.data
    ):
        raise InputError(
            f"--output must not write over DATA, got {names} for its names. Name another file."
        )
    if arguments.tokens:
        check_output(output, _TOKEN_FORMATS, arguments, "--tokens has no other format.")
        return
    wing = wing_of_run([arguments.run])
    is_split = arguments.data in SPLITS
    wing_formats = () if wing is None or is_split else tuple(wing.feature_formats)
    reason = ""
    if wing is not None and is_split and output.suffix in wing.feature_formats:
        reason = f"{output.suffix} adds features to a copy of a file: name the file as DATA, not a split."
    elif wing is not None:
        reason = f"Runs on {wing.name} write no other format."
    check_output(output, (*_FORMATS, *wing_formats), arguments, reason)


def _names_file(output: Path) -> Path:
    return output.with_suffix(".names.csv")


def _show(result: dict[str, Any], match: str | None) -> None:
    where = ""
    if "names" in result:
        where = f", row names in {result['names']}"
    elif result["output"].endswith(".parquet"):
        where = ", with name and class"
    shape = f"{result['samples']} x {result['features']} float32"
    if "tokens" in result:
        shape = (
            f"{result['samples']:,} samples, {result['tokens']:,} tokens of "
            f"{result['features']} features, float32"
        )
    print(f"{result['output']}: {shape}{where}")
    if match:
        print(f"  {match}")


def _write_wing_format(
    loaded: LoadedRun,
    output: Path,
    data: str,
    features: Any,
    source: Any,
    rows: list[int],
) -> None:
    """A format of the run's modality."""
    from r2mae.data.source import root_of

    write = loaded.wing.feature_formats[output.suffix]
    write(data, output, features, root_of(source), rows)


def _write_array(output: Path, features: Any, source: Any, read: list[int]) -> None:
    """The array, and beside it the names of its rows; both appear only when complete."""
    import numpy as np

    names = _names_file(output)
    with atomic_file(output) as unfinished, atomic_file(names) as unfinished_names:
        np.save(unfinished, features)  # appends .npy only to names without it
        _write_names(unfinished_names, source, read)


def _write_parquet(output: Path, features: Any, source: Any, read: list[int]) -> None:
    """A row for each sample read: its name, its class if known, its features as a list."""
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet  # type: ignore[import-untyped]

    names, classes = zip(*names_of(source, read), strict=True)
    values = pa.FixedSizeListArray.from_arrays(
        pa.array(features.ravel()), features.shape[1]
    )
    with atomic_file(output) as unfinished:
        parquet.write_table(
            pa.table({"name": list(names), "class": list(classes), "features": values}),
            unfinished,
        )


def _write_names(path: Path, source: Any, indices: list[int]) -> None:
    """A line for each sample read: its name, and its class if known."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("name", "class"))
        writer.writerows(names_of(source, indices))
