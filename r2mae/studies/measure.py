"""What a study measures of a finished run."""

import math
from argparse import ArgumentParser, Namespace
from typing import Any, NoReturn

from r2mae.data.source import with_labels
from r2mae.errors import InputError
from r2mae.evaluation.features import check_classes
from r2mae.loaded_run import LoadedRun
from r2mae.recipe.labels import with_label_column
from r2mae.schema.study import MeasureSection, TaskMeasure
from r2mae.studies.measured_probes import draw_labels, measure_probes
from r2mae.studies.measurement import (
    KINDS,
    Measurement,
    Measurements,
    kind_of,
    loss_name,
)
from r2mae.wing import Wing


def measure_run(loaded: LoadedRun, measure: MeasureSection) -> Measurements:
    """All measurements of a study on one run, by name.

    Raises: InputError for a held-out loss that is not finite, and data without labels.
    """
    measurements = _losses(loaded, measure)
    if measure.probes:
        measurements |= measure_probes(loaded, measure)
    for name, task in measure.tasks.items():
        measurements |= _task(loaded, name, task)
    return measurements


def _losses(loaded: LoadedRun, measure: MeasureSection) -> Measurements:
    """Of the last step, as training measured them.

    Raises: InputError for one that is not finite: regrets of all laws would be nan.
    """
    metrics = loaded.folder.read_status()["metrics"]
    losses = {}
    for ratio in measure.ratios:
        loss = float(metrics[f"validation/loss_at_{ratio:g}"])
        if not math.isfinite(loss):
            raise InputError(
                f"{loss_name(ratio)} must be finite to compare a law, got {loss}: the run "
                "did not train, and would not if repeated. Leave out the law, or start "
                "a study under another --name with a lower optimizer.lr, or with "
                "optimizer.clip_norm, by --set."
            )
        losses[loss_name(ratio)] = Measurement(loss, "lower")
    return losses


def check_tasks(measure: MeasureSection, wing: Wing, recipe: Any) -> None:
    """Raise InputError for tasks that the modality lacks or the recipe cannot do, or their options."""
    for name, each in measure.tasks.items():
        if not name.strip():
            raise InputError(
                f"measure.tasks must have names that are not empty, got {name!r}."
            )
        if kind_of(name) != name or name in KINDS:
            raise InputError(
                f"measure.tasks must not have the name of another measurement, got {name!r}."
            )
        if each.task not in wing.tasks:
            names = ", ".join(wing.tasks) or "none"
            raise InputError(
                f"measure.tasks.{name}.task must be a task of {wing.name} ({names}), "
                f"got {each.task!r}."
            )
        arguments = _task_arguments(name, wing, each)
        labelled = with_label_column(recipe, arguments.label)
        try:
            wing.tasks[each.task].check(labelled, arguments)
        except InputError as error:
            raise InputError(f"measure.tasks.{name}: {error}") from None


def check_labels(measure: MeasureSection, wing: Wing, recipe: Any) -> None:
    """Raise InputError for probes that the recipe's data has too few labels for."""
    if not measure.probes:
        return
    train = with_labels(wing.open_split(recipe, "train"))
    check_classes(train, with_labels(wing.open_split(recipe, "test")))
    for count in measure.labels_per_class:
        draw_labels(train, count, 1)


def _task(loaded: LoadedRun, name: str, measure: TaskMeasure) -> Measurements:
    """A number that a task of the modality returns."""
    arguments = _task_arguments(name, loaded.wing, measure)
    arguments.run, arguments.task = str(loaded.folder.path), measure.task
    task = loaded.wing.tasks[measure.task]
    recipe = with_label_column(loaded.recipe, arguments.label)
    value: Any = task.run(loaded, recipe, arguments)
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
    """The options of `r2mae evaluate RUN --task TASK`, as the command line reads them.

    Raises: InputError for those that the task lacks, and values that it does not take.
    """
    parser = _OptionParser(prog=f"measure.tasks.{name}.options", add_help=False)
    parser.add_argument("--label")
    parser.add_argument("--baselines", action="store_true")
    parser.add_argument("--json", action="store_true")
    wing.tasks[measure.task].add_arguments(parser)
    argv: list[str] = []
    for option, value in measure.options.items():
        if value is not False:  # a flag that is not set
            argv += [f"--{option}"] if value is True else [f"--{option}", str(value)]
    return parser.parse_args(argv)
