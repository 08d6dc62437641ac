"""Probe a run's encoder and baselines: scores, and paired differences."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from r2mae.data.source import SampleSource, with_labels
from r2mae.errors import InputError
from r2mae.evaluation.attentive_predictions import (
    AttentivePredictions,
    attentive_predictions,
)
from r2mae.evaluation.compared import Compared, compared_encoders
from r2mae.evaluation.conditional_mean import impute_hidden
from r2mae.evaluation.features import (
    LabelledFeatures,
    check_classes,
    extract_each_labelled,
    needed_rows,
    require_labels,
)
from r2mae.evaluation.hidden_copies import places_of, with_copies
from r2mae.evaluation.probe import ProbeTask, compare, probe_predictions, summarize
from r2mae.evaluation.probe_input import ProbeInput
from r2mae.metrics.few_label import few_label_draws
from r2mae.progress import progress_bar, status_line

Draws = list[npt.NDArray[np.int64]]  # rows of the training split, one array per draw
# {encoder: (training features, test features)}
Splits = dict[str, tuple[LabelledFeatures, LabelledFeatures]]
# labels_per_class, hidden, hide_in_training (where it is so), scores {encoder: {task: score}},
# differences {"a - b": {task: difference}}
Row = dict[str, Any]
Predictions = dict[str, dict[str, Any]]  # {encoder: {task: labels (draws, M)}}


@dataclass(frozen=True)
class ProbePlan:
    """Which probes, with how many labels.

    labels_per_class: a row of results for each; None takes all labels.
    draws: random choices of labels for each number of them.
    baselines: also probe an untrained encoder and simple features of the input.
    hidden: shares of each test sample that are hidden, the same parts from encoders and
        simple features; a row of results for each.
    hide_in_training: train probes also on a copy of each training sample with as large a
        share hidden; otherwise on complete samples alone.
    """

    tasks: tuple[ProbeTask | Literal["attentive_probe"], ...]
    labels_per_class: tuple[int | None, ...] = (None,)
    draws: int = 10
    baselines: bool = False
    hidden: tuple[float, ...] = (0.0,)
    hide_in_training: bool = False

    @property
    def inputs(self) -> list[ProbeInput]:
        """What the probes of each row see."""
        return [
            ProbeInput(share, self.hide_in_training and share > 0)
            for share in self.hidden
        ]


def probe_encoders(loaded: Any, recipe: Any, plan: ProbePlan) -> list[Row]:
    """Probe a `LoadedRun` from the training to the test split of a recipe's data.

    Its encoder is read as `loaded.read_out` describes.

    Raises: InputError for data without labels, or classes that training lacks.
    """
    train = with_labels(loaded.wing.open_split(recipe, "train"))
    test = with_labels(loaded.wing.open_split(recipe, "test"))
    check_classes(train, test)
    choices = [_choose(train, count, plan.draws) for count in plan.labels_per_class]
    rows = needed_rows(len(train), choices)
    compared = _encoders(loaded, plan)
    attentive = _attend(compared, plan, train, test, choices)
    tasks = [task for task in plan.tasks if task != "attentive_probe"]
    probed = compared if tasks else []
    of_train = _extract(probed, train, "train", rows=rows)
    table: list[Row] = []
    for seen in plan.inputs:
        hidden, copied = seen
        of_test = _extract(probed, test, "test", hidden=hidden)
        of_any: list[Any] = [*of_test, *attentive.values()]
        splits = _as_probed(loaded, probed, of_train, of_test)
        if copied:
            of_copies = _extract(probed, train, "train", rows=rows, hidden=hidden)
            copies = _as_probed(loaded, probed, of_train, of_copies)
            for name, pair in copies.items():
                splits[name] = (with_copies(*pair), splits[name][1])
        for number, count in enumerate(plan.labels_per_class):
            places = places_of(choices[number], rows, copied)
            predictions: Predictions = {
                name: _probe(name, tasks, *parts, places)
                for name, parts in splits.items()
            }
            for name, attended in attentive.items():
                of_name = predictions.setdefault(name, {})
                of_name["attentive_probe"] = attended.predicted[seen][number]
            row = _row(count, predictions, of_any[0].labels) | {"hidden": hidden}
            table.append(row | {"hide_in_training": True} if copied else row)
    return table


def _encoders(loaded: Any, plan: ProbePlan) -> list[Compared]:
    """What is probed.

    Raises: InputError for a fine-tuned run where input is hidden.
    """
    if any(plan.hidden) and loaded.recipe.task != "pretrain":
        raise InputError(
            "--hidden must be given for a pretraining run, whose encoder reads masked "
            f"samples, got a {loaded.recipe.task} run. Name another run."
        )
    return list(compared_encoders(loaded, plan.baselines))


def _attend(
    encoders: list[Compared],
    plan: ProbePlan,
    train: SampleSource,
    test: SampleSource,
    choices: list[Draws | None],
) -> dict[str, AttentivePredictions]:
    """Predictions of attentive probes by name; input features have no tokens."""
    if "attentive_probe" not in plan.tasks:
        return {}
    return {
        encoder.name: attentive_predictions(
            encoder.name, encoder.model, train, test, choices, plan.inputs
        )
        for encoder in encoders
        if encoder.kind == "embed"
    }


def _extract(
    encoders: list[Compared], source: SampleSource, split: str, **options: Any
) -> list[LabelledFeatures]:
    """Features of each encoder; a sample is read once for all."""
    if not encoders:
        return []
    title = "features of " + ", ".join(encoder.name for encoder in encoders)
    pairs = [(encoder.model, encoder.kind) for encoder in encoders]
    progress = progress_bar(f"{title}, {split}")
    return extract_each_labelled(pairs, source, progress=progress, **options)


def _as_probed(
    loaded: Any,
    encoders: list[Compared],
    of_train: list[LabelledFeatures],
    of_hidden: list[LabelledFeatures],
) -> Splits:
    """name -> both as probes read them; baselines after PCA for example.

    of_hidden: of samples with a part hidden: the test samples, or copies of training samples.
    """
    splits = {}
    for encoder, train, hidden in zip(encoders, of_train, of_hidden, strict=True):
        if encoder.kind == "baseline":
            train, hidden = _baseline(loaded, train, hidden)
        elif loaded.read_out.pool == "concat":
            # Tokens that are hidden are NaN.
            complete = impute_hidden(train.features, hidden.features)
            hidden = LabelledFeatures(complete, hidden.labels)
        splits[encoder.name] = (train, hidden)
    return splits


def _choose(train: SampleSource, count: int | None, draws: int) -> Draws | None:
    """Draws of `count` labels per class; None where all labels are used."""
    if count is None:
        return None
    return few_label_draws(require_labels(train), count, draws, 0, train.class_names)


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
    tasks: list[ProbeTask],
    train: LabelledFeatures,
    test: LabelledFeatures,
    draws: Draws | None,
) -> dict[str, Any]:
    predictions: dict[str, Any] = {}
    for task in tasks:
        with status_line(f"{name}, {task}") as status:
            predictions[task] = probe_predictions(
                task, train, test, draws=draws, status=status
            )
    return predictions


def _row(
    labels_per_class: int | None,
    predictions: Predictions,
    expected: npt.NDArray[np.int64],
) -> Row:
    """Scores of all encoders, and differences from the first one to each other."""
    (first, of_first), *others = predictions.items()
    scores: dict[str, Any] = {name: {} for name in predictions}
    differences: dict[str, Any] = {f"{first} - {name}": {} for name, _ in others}
    for task in of_first:
        # Input features have no attentive probe.
        for name, tasks in predictions.items():
            if task in tasks:
                scores[name][task] = summarize(tasks[task], expected).to_dict()
        for name, tasks in others:
            if task not in tasks:
                continue
            difference = compare(of_first[task], tasks[task], expected)
            differences[f"{first} - {name}"][task] = difference.to_dict()
    return {
        "labels_per_class": labels_per_class or "all",
        "scores": scores,
        "differences": differences,
    }
