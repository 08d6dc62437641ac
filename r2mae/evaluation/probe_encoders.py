"""Probe a run's encoder and baselines: scores, and paired differences."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.source import SampleSource, with_labels
from r2mae.evaluation.compared import compared_encoders
from r2mae.evaluation.features import (
    LabelledFeatures,
    check_classes,
    extract_labelled,
    require_labels,
)
from r2mae.evaluation.probe import ProbeTask, compare, probe_hits, summarize
from r2mae.metrics.few_label import few_label_draws
from r2mae.progress import progress_bar, status_line

Draws = list[npt.NDArray[np.int64]]  # rows of the training split, one array per draw
# labels_per_class, scores {encoder: {task: score}}, differences {"a - b": {task: difference}}
Row = dict[str, Any]
Hits = dict[str, dict[str, Any]]  # {encoder: {task: (draws, M) bool}}


@dataclass(frozen=True)
class ProbePlan:
    """Which probes, with how many labels.

    labels_per_class: a row of results for each; None takes all labels.
    draws: random choices of labels for each number of them.
    baselines: also probe an untrained encoder and simple features of the input.
    """

    tasks: tuple[ProbeTask, ...]
    labels_per_class: tuple[int | None, ...] = (None,)
    draws: int = 10
    baselines: bool = False


def probe_encoders(loaded: Any, recipe: Any, plan: ProbePlan) -> list[Row]:
    """Probe a `LoadedRun` from the training to the test split of a recipe's data.

    Raises: InputError for data without labels, or classes that training lacks.
    """
    train = with_labels(loaded.wing.open_split(recipe, "train"))
    test = with_labels(loaded.wing.open_split(recipe, "test"))
    check_classes(train, test)
    choices = [_choose(train, count, plan.draws) for count in plan.labels_per_class]
    rows = _needed_rows(len(train), choices)
    hits: list[Hits] = [{} for _ in choices]
    for name, model, kind in compared_encoders(loaded, plan.baselines):
        train_features = extract_labelled(
            model, train, rows, kind=kind, progress=progress_bar(f"{name}, train")
        )
        test_features = extract_labelled(
            model, test, kind=kind, progress=progress_bar(f"{name}, test")
        )
        if kind == "baseline":
            train_features, test_features = _baseline(
                loaded, train_features, test_features
            )
        for row_hits, draws in zip(hits, choices, strict=True):
            places = (
                None
                if draws is None
                else [np.searchsorted(rows, draw) for draw in draws]
            )
            row_hits[name] = _probe(name, plan, train_features, test_features, places)
    return [_row(*pair) for pair in zip(plan.labels_per_class, hits, strict=True)]


def _choose(train: SampleSource, count: int | None, draws: int) -> Draws | None:
    """Draws of `count` labels per class; None where all labels are used."""
    if count is None:
        return None
    return few_label_draws(require_labels(train), count, draws, 0, train.class_names)


def _needed_rows(size: int, choices: list[Draws | None]) -> npt.NDArray[np.int64]:
    """Rows of the training split to embed: all, or those in a draw."""
    drawn: Draws = []
    for draws in choices:
        if draws is None:
            return np.arange(size)
        drawn += draws
    return np.unique(np.concatenate(drawn))


def _baseline(
    loaded: Any, train: LabelledFeatures, test: LabelledFeatures
) -> tuple[LabelledFeatures, LabelledFeatures]:
    features = loaded.wing.baseline_features(train.features, test.features)
    return (
        LabelledFeatures(features[0], train.labels),
        LabelledFeatures(features[1], test.labels),
    )


def _probe(
    name: str,
    plan: ProbePlan,
    train: LabelledFeatures,
    test: LabelledFeatures,
    draws: Draws | None,
) -> dict[str, Any]:
    hits: dict[str, Any] = {}
    for task in plan.tasks:
        with status_line(f"{name}, {task}") as status:
            hits[task] = probe_hits(task, train, test, draws=draws, status=status)
    return hits


def _row(labels_per_class: int | None, hits: Hits) -> Row:
    """Scores of all encoders, and differences from the first one to each other."""
    (first, first_hits), *others = hits.items()
    scores: dict[str, Any] = {name: {} for name in hits}
    differences: dict[str, Any] = {f"{first} - {name}": {} for name, _ in others}
    for task in first_hits:
        for name, tasks in hits.items():
            scores[name][task] = summarize(tasks[task]).to_dict()
        for name, tasks in others:
            difference = compare(first_hits[task], tasks[task])
            differences[f"{first} - {name}"][task] = difference.to_dict()
    return {
        "labels_per_class": labels_per_class or "all",
        "scores": scores,
        "differences": differences,
    }
