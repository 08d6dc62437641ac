"""Samples that a command reads for a run: a split of its recipe, or files that a user names."""

import argparse
import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from r2mae.cli.arguments import add_inference, add_run, wing_of_run
from r2mae.cli.training_data import warn_of_changed_data
from r2mae.errors import InputError
from r2mae.loaded_run import LoadedRun
from r2mae.progress import progress_bar

SPLITS = ("train", "test")
INCOMPLETE = 3  # exit code of a command that left out unreadable samples
_SPLIT_NAMES = (*SPLITS, "dev", "valid")  # usual names of files of splits


def add_data(parser: argparse.ArgumentParser) -> None:
    """`RUN`, `DATA`, `--workers` and `--precision`."""
    add_run(parser)
    add_inference(parser)
    data = "train, test, or files that the run's modality reads"
    parser.add_argument("data", metavar="DATA", help=data)


def add_data_options(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Options of the run's wing that say how files are read."""
    wing = wing_of_run(argv)
    if wing is not None:
        wing.add_path_arguments(parser)


def open_samples(loaded: LoadedRun, arguments: argparse.Namespace) -> Any:
    """The `SampleSource` of arguments.data, read like the run's own data.

    An unreadable sample is skipped, whatever the recipe sets for training.

    Raises: InputError for options of files with a split, and for files that the
        modality rejects.
    """
    recipe = loaded.recipe
    if hasattr(recipe.data, "on_bad_sample"):
        data = recipe.data.model_copy(update={"on_bad_sample": "skip"})
        recipe = recipe.model_copy(update={"data": data})
    if arguments.data in SPLITS:
        _check_no_path_options(loaded, arguments)
        warn_of_changed_data(loaded)
        return loaded.wing.open_split(recipe, arguments.data)
    return loaded.wing.open_paths(recipe, [arguments.data], arguments)


def _check_no_path_options(loaded: LoadedRun, arguments: argparse.Namespace) -> None:
    """Raise InputError where an option that says how files are read is set."""
    parser = argparse.ArgumentParser(add_help=False)
    loaded.wing.add_path_arguments(parser)
    for name, default in vars(parser.parse_args([])).items():
        if getattr(arguments, name, default) != default:
            option = f"--{name.replace('_', '-')}"
            raise InputError(
                f"{option} must be given for files that DATA names, got the split "
                f"{arguments.data}."
            )


def check_output(
    output: Path,
    suffixes: tuple[str, ...],
    arguments: argparse.Namespace,
    reason: str = "",
) -> None:
    """Raise InputError unless output has a valid suffix, its folder exists, and it is not DATA.

    reason: a sentence on why these suffixes are the valid ones.
    """
    if output.suffix not in suffixes or not output.parent.is_dir() or output.is_dir():
        formats = f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"
        rule = f"--output must be a {formats} file in an existing folder"
        why = reason if output.suffix not in suffixes else ""
        raise InputError(f"{rule}, got {str(output)!r}. {why}".strip())
    if arguments.data not in SPLITS:
        data_files = {Path(arguments.data), *map(Path, glob.glob(arguments.data))}
        if os.path.realpath(output) in {os.path.realpath(path) for path in data_files}:
            raise InputError(
                f"--output must not write over DATA, got {str(output)!r}. Name another file."
            )


def check_apart(output: Path, loaded: Any, arguments: argparse.Namespace) -> None:
    """Raise InputError for an output that would be, or become, a split of the run's own data."""
    root = getattr(loaded.recipe.data, "root", None)
    if (
        arguments.data not in SPLITS
        or root is None
        or not output.stem.startswith(_SPLIT_NAMES)
    ):
        return
    place, target = Path(os.path.realpath(root)), Path(os.path.realpath(output))
    if target.is_relative_to(place if place.is_dir() else place.parent):
        raise InputError(
            f"--output must not be a split of the data in {root}, got {str(output)!r}. Rename it."
        )


def compute_outputs(
    loaded: LoadedRun, source: Any, kind: str, title: str
) -> tuple[Any, list[int], list[str]]:
    """(outputs (N, D) of a run's model, indices (N,) of their samples, names of unreadable samples).

    kind: of `extract`; "embed" reads the encoder as `loaded.read_out` describes.
    An unreadable sample has no row; indices are those of the whole source.
    """
    import numpy as np

    from r2mae.data.source import root_of, rows_in_root
    from r2mae.evaluation.features import extract
    from r2mae.evaluation.read_encoder import read_encoder

    model = loaded.model
    if kind == "embed":
        model = read_encoder(model, loaded.read_out)
    read: list[int] = []
    outputs = extract(
        model,
        source,
        kind,  # type: ignore[arg-type]
        on_batch=lambda batch: read.extend(batch["indices"].tolist()),
        progress=progress_bar(title),
    )
    indices = rows_in_root(source)
    is_own = np.array(read) == indices  # a neighbour replaces an unreadable sample
    root = root_of(source)
    unreadable = {root.name(index) for index in indices[~is_own].tolist()}
    if unreadable:  # otherwise the copy would double the memory
        outputs, indices = outputs[is_own], indices[is_own]
    owners = getattr(root, "owners", None)
    if owners is not None:
        outputs, indices = _average(outputs, indices, owners[indices])
    return outputs, indices.tolist(), sorted(unreadable)


def _average(outputs: Any, indices: Any, owners: Any) -> tuple[Any, Any]:
    """Mean outputs (N, D) of the samples of each owner, and the first of these samples."""
    import numpy as np

    _, first, places = np.unique(owners, return_index=True, return_inverse=True)
    if len(first) == len(owners):
        return outputs, indices
    sums = np.zeros((len(first), outputs.shape[1]))
    np.add.at(sums, places, outputs)
    means = sums / np.bincount(places)[:, None]
    return means.astype(outputs.dtype), indices[first]


def names_of(source: Any, indices: Iterable[int]) -> Iterator[tuple[str, str]]:
    """(name, class or "") of samples, whose indices are those of the whole source."""
    from r2mae.data.source import root_of

    root = root_of(source)
    labels = root.labels
    for index in indices:
        label = -1 if labels is None else int(labels[index])
        yield root.name(index), root.class_names[label] if label >= 0 else ""


def report_left_out(source: Any, unreadable: list[str]) -> None:
    """Report on stderr what a source leaves out, and which samples could not be read."""
    if note := getattr(source, "note", ""):
        print(f"left out: {note}", file=sys.stderr)
    if unreadable:
        examples = ", ".join(unreadable[:3]) + (", ..." if len(unreadable) > 3 else "")
        plural = "" if len(unreadable) == 1 else "s"
        count = f"{len(unreadable):,} unreadable sample{plural}"
        print(f"left out: {count}, {examples}", file=sys.stderr)
