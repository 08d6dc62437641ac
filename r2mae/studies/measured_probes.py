"""Probes as measurements of a study.

R draws of labels, M test samples.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.source import SampleSource, with_labels
from r2mae.evaluation.attentive_predictions import attentive_predictions
from r2mae.evaluation.features import (
    LabelledFeatures,
    check_classes,
    extract_labelled,
    needed_rows,
    require_labels,
)
from r2mae.evaluation.hidden_copies import places_with_copies, with_copies
from r2mae.evaluation.probe import probe_predictions
from r2mae.loaded_run import LoadedRun
from r2mae.metrics.few_label import few_label_draws
from r2mae.schema.study import MeasureSection
from r2mae.studies.measurement import (
    IN_TRAINING,
    Measurement,
    Measurements,
    probe_name,
)

Draws = list[npt.NDArray[np.int64]] | None


@dataclass(frozen=True)
class _Probed:
    """What the probes of a run have in common.

    draws: rows of the training split by labels per class; None for all.
    needed: rows that are in some draw.
    """

    loaded: LoadedRun
    measure: MeasureSection
    train: SampleSource
    test: SampleSource
    draws: dict[Any, Draws]
    needed: npt.NDArray[np.int64]


def measure_probes(loaded: LoadedRun, measure: MeasureSection) -> Measurements:
    """Accuracy of probes on a run's encoder, also with parts of the test samples hidden."""
    wing, recipe = loaded.wing, loaded.recipe
    train = with_labels(wing.open_split(recipe, "train"))
    test = with_labels(wing.open_split(recipe, "test"))
    check_classes(train, test)
    draws = {
        count: draw_labels(train, count, measure.draws)
        for count in measure.labels_per_class
    }
    needed = needed_rows(len(train), list(draws.values()))
    probed = _Probed(loaded, measure, train, test, draws, needed)
    complete = extract_labelled(loaded.model, train, rows=needed)
    tests = {
        share: extract_labelled(loaded.model, test, hidden=share)
        for share in measure.hidden
    }
    places = {
        count: rows and [np.searchsorted(needed, row) for row in rows]
        for count, rows in draws.items()
    }
    results = _score(probed, complete, tests, places, "")
    if measure.hide_in_training:
        doubled = {
            count: rows and places_with_copies(rows, len(needed))
            for count, rows in places.items()
        }
        for share in filter(None, measure.hidden):
            copies = extract_labelled(loaded.model, train, rows=needed, hidden=share)
            both, of_test = with_copies(complete, copies), {share: tests[share]}
            results |= _score(probed, both, of_test, doubled, IN_TRAINING)
    return results


def _score(
    probed: _Probed,
    train: LabelledFeatures,
    tests: dict[float, LabelledFeatures],
    places: dict[Any, Draws],
    suffix: str,
) -> Measurements:
    """Scores of all probes, which are trained once for all hidden shares of tests.

    places: rows of train by labels per class.
    suffix: of the names of measurements; IN_TRAINING where train holds partly hidden copies.
    """
    labels = np.concatenate([each.labels for each in tests.values()])
    features = np.concatenate([each.features for each in tests.values()])
    stacked = LabelledFeatures(features, labels)
    attended = {}
    if "attentive_probe" in probed.measure.probes:
        attended = _attend(probed, tuple(tests), bool(suffix))
    results: Measurements = {}
    for probe, (count, rows) in itertools.product(
        probed.measure.probes, places.items()
    ):
        if probe == "attentive_probe":
            predicted = attended[count]
        else:
            predicted = probe_predictions(probe, train, stacked, draws=rows)
        hits = (predicted == labels).reshape(len(predicted), len(tests), -1)
        items = hits.mean(axis=0).astype(np.float32)  # (hidden shares, M)
        for share, right in zip(tests, items, strict=True):
            name = probe_name(probe, count, share) + suffix
            results[name] = Measurement(float(right.mean()), "higher", right)
    return results


def _attend(
    probed: _Probed, hidden: tuple[float, ...], hide_in_training: bool
) -> dict[Any, npt.NDArray[np.int64]]:
    """(R, hidden shares * M) classes by attentive probes, by labels per class."""
    predicted = attentive_predictions(
        "encoder",
        probed.loaded.model,
        probed.train,
        probed.test,
        list(probed.draws.values()),
        hidden,
        hide_in_training,
    ).predicted
    by_choice = zip(*(predicted[share] for share in hidden), strict=True)
    stacked = [np.concatenate(parts, axis=1) for parts in by_choice]
    return dict(zip(probed.draws, stacked, strict=True))


def draw_labels(train: SampleSource, count: int | str, draws: int) -> Draws:
    """Rows of random labelled samples; None where all labels are used. Raises: InputError for too few."""
    if count == "all":
        return None
    labels = require_labels(train)
    return few_label_draws(labels, int(count), draws, 0, train.class_names)
