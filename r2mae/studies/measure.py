"""What a study measures of a finished run."""

import itertools
import json
import math
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, get_args

import numpy as np
import numpy.typing as npt

from r2mae.data.source import SampleSource, with_labels
from r2mae.errors import InputError
from r2mae.evaluation.attentive_predictions import attentive_predictions
from r2mae.evaluation.features import (
    LabelledFeatures,
    check_classes,
    extract_labelled,
    needed_rows,
    require_labels,
)
from r2mae.evaluation.probe import probe_predictions
from r2mae.loaded_run import LoadedRun
from r2mae.metrics.few_label import few_label_draws
from r2mae.schema.study import MeasureSection, Probe, TaskMeasure
from r2mae.wing import Wing

Better = Literal["higher", "lower"]

_LOSS, _HIDDEN, _FINETUNED = "held-out loss", " hidden", "fine-tuned"
_PROBES, _HIDDEN_PROBES = "probes", "probes, input partly hidden"


@dataclass(frozen=True)
class Measurement:
    """One number of a run.

    items: (M,) the same number for each test item, of which it is the mean; None where
        items are not measured apart.
    """

    value: float
    better: Better
    items: npt.NDArray[np.float32] | None = None


Measurements = dict[str, Measurement]


def measure_run(loaded: LoadedRun, measure: MeasureSection) -> Measurements:
    """All measurements of a study on one run, by name.

    Raises: InputError for data without labels.
    """
    measurements = _losses(loaded, measure)
    if measure.probes:
        measurements |= _probes(loaded, measure)
    for name, task in measure.tasks.items():
        measurements |= _task(loaded, name, task)
    return measurements


def loss_name(ratio: float) -> str:
    """Name of the held-out loss at a mask ratio."""
    return f"{_LOSS} at {ratio:g}"


def kind_of(name: str) -> str:
    """ "held-out loss", "probes", "probes, input partly hidden", "fine-tuned"; of a task, the name."""
    for kind in (_LOSS, _FINETUNED):
        if name.startswith(kind):
            return kind
    if name.partition(",")[0] not in get_args(Probe):
        return name
    return _HIDDEN_PROBES if name.endswith(_HIDDEN) else _PROBES


def finetuned_name(count: int | str) -> str:
    """Name of the accuracy after fine-tuning with a number of labels per class."""
    return f"{_FINETUNED}, {_labels(count)}"


def _losses(loaded: LoadedRun, measure: MeasureSection) -> Measurements:
    """Of the last step, as training measured them."""
    metrics = loaded.folder.read_status()["metrics"]
    return {
        loss_name(ratio): Measurement(metrics[f"validation/loss_at_{ratio:g}"], "lower")
        for ratio in measure.ratios
    }


def _probes(loaded: LoadedRun, measure: MeasureSection) -> Measurements:
    """Probes trained on complete samples and tested with parts of the test samples hidden."""
    wing, recipe = loaded.wing, loaded.recipe
    train = with_labels(wing.open_split(recipe, "train"))
    test = with_labels(wing.open_split(recipe, "test"))
    check_classes(train, test)
    draws = {
        count: _draws(train, count, measure.draws) for count in measure.labels_per_class
    }
    needed = needed_rows(len(train), list(draws.values()))
    train_features = extract_labelled(loaded.model, train, rows=needed)
    # A probe is trained once and predicts for all hidden shares.
    tests = [
        extract_labelled(loaded.model, test, hidden=share) for share in measure.hidden
    ]
    features = np.concatenate([each.features for each in tests])
    labels = np.concatenate([each.labels for each in tests])
    stacked = LabelledFeatures(features, labels)
    attended = {}
    if "attentive_probe" in measure.probes:
        attended = _attend(loaded, train, test, draws, measure.hidden)
    results: Measurements = {}
    for probe, (count, rows) in itertools.product(measure.probes, draws.items()):
        if probe == "attentive_probe":
            predicted = attended[count]
        else:
            places = rows and [np.searchsorted(needed, row) for row in rows]
            predicted = probe_predictions(probe, train_features, stacked, draws=places)
        hits = (predicted == labels).reshape(len(predicted), len(tests), -1)
        items = hits.mean(axis=0).astype(np.float32)  # (hidden shares, M)
        for share, right in zip(measure.hidden, items, strict=True):
            name = _probe_name(probe, count, share)
            results[name] = Measurement(float(right.mean()), "higher", right)
    return results


def _attend(
    loaded: LoadedRun,
    train: SampleSource,
    test: SampleSource,
    draws: dict[Any, list[npt.NDArray[np.int64]] | None],
    hidden: tuple[float, ...],
) -> dict[Any, npt.NDArray[np.int64]]:
    """(R, hidden shares * M) classes by attentive probes, by labels per class."""
    choices = list(draws.values())
    predicted = attentive_predictions(
        "encoder", loaded.model, train, test, choices, hidden
    ).predicted
    by_choice = zip(*(predicted[share] for share in hidden), strict=True)
    stacked = [np.concatenate(parts, axis=1) for parts in by_choice]
    return dict(zip(draws, stacked, strict=True))


def _draws(
    train: SampleSource, count: int | str, draws: int
) -> list[npt.NDArray[np.int64]] | None:
    if count == "all":
        return None
    labels = require_labels(train)
    return few_label_draws(labels, int(count), draws, 0, train.class_names)


def _probe_name(probe: str, count: int | str, hidden: float) -> str:
    name = f"{probe}, {_labels(count)}"
    return f"{name}, {100 * hidden:g}%{_HIDDEN}" if hidden else name


def _labels(count: int | str) -> str:
    return "all labels" if count == "all" else f"{count} labels per class"


def check_tasks(measure: MeasureSection, wing: Wing) -> None:
    """Raise InputError for tasks that the modality lacks, or options that a task lacks."""
    kinds = (_LOSS, _FINETUNED, _PROBES, _HIDDEN_PROBES)
    for name, each in measure.tasks.items():
        if not name.strip():
            raise InputError(
                f"measure.tasks must have names that are not empty, got {name!r}."
            )
        if kind_of(name) != name or name in kinds:
            raise InputError(
                f"measure.tasks must not have the name of another measurement, got {name!r}."
            )
        if each.task not in wing.tasks:
            names = ", ".join(wing.tasks) or "none"
            raise InputError(
                f"measure.tasks.{name}.task must be a task of {wing.name} ({names}), "
                f"got {each.task!r}."
            )
        _task_arguments(name, wing, each)


def check_labels(measure: MeasureSection, wing: Wing, recipe: Any) -> None:
    """Raise InputError for probes that the recipe's data has too few labels for."""
    if not measure.probes:
        return
    train = with_labels(wing.open_split(recipe, "train"))
    check_classes(train, with_labels(wing.open_split(recipe, "test")))
    for count in measure.labels_per_class:
        _draws(train, count, 1)


def _task(loaded: LoadedRun, name: str, measure: TaskMeasure) -> Measurements:
    """A number that a task of the modality returns."""
    arguments = _task_arguments(name, loaded.wing, measure)
    arguments.run, arguments.task = str(loaded.folder.path), measure.task
    task = loaded.wing.tasks[measure.task]
    value: Any = task.run(loaded, loaded.recipe, arguments)
    for key in measure.value.split("."):
        value = _entry(value, key, name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InputError(
            f"measure.tasks.{name}.value must lead to a number, got {measure.value}, "
            f"where there is a {type(value).__name__}."
        )
    if not math.isfinite(value):
        raise InputError(
            f"measure.tasks.{name}.value must lead to a finite number, got "
            f"{measure.value}, where there is {value}."
        )
    return {name: Measurement(float(value), measure.better)}


def _entry(value: Any, key: str, name: str) -> Any:
    """The entry of a mapping, or the item of a list by its number."""
    entries = value
    if isinstance(value, list):
        entries = {str(number): item for number, item in enumerate(value)}
    if not isinstance(entries, dict) or key not in entries:
        names = ", ".join(entries) if isinstance(entries, dict) else "a number"
        raise InputError(
            f"measure.tasks.{name}.value must lead to a number, got {key!r} where "
            f"there is {names}."
        )
    return entries[key]


class _OptionParser(ArgumentParser):
    """Options of a task; a mistake is an InputError."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{self.prog} must be options of the task: {message}.")


def _task_arguments(name: str, wing: Wing, measure: TaskMeasure) -> Namespace:
    """The options of `r2mae evaluate RUN --task TASK`, as the command line reads them."""
    where = f"measure.tasks.{name}.options"
    parser = _OptionParser(prog=where, add_help=False)
    parser.add_argument("--baselines", action="store_true")
    parser.add_argument("--json", action="store_true")
    wing.tasks[measure.task].add_arguments(parser)
    argv: list[str] = []
    for option, value in measure.options.items():
        if value is not False:  # a flag that is not set
            argv += [f"--{option}"] if value is True else [f"--{option}", str(value)]
    return parser.parse_args(argv)


def to_json(measurements: Measurements) -> str:
    """Numbers by name; items are written apart."""
    document = {
        name: {"value": each.value, "better": each.better}
        for name, each in measurements.items()
    }
    return json.dumps(document, indent=1) + "\n"
