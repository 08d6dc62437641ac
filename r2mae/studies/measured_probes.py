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
from r2mae.evaluation.hidden_copies import places_of, with_copies
from r2mae.evaluation.probe import probe_predictions
from r2mae.evaluation.probe_input import ProbeInput
from r2mae.loaded_run import LoadedRun
from r2mae.metrics.few_label import few_label_draws
from r2mae.schema.study import MeasureSection
from r2mae.studies.measurement import (
    Measurement,
    Measurements,
    probe_inputs,
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
    results: Measurements = {}
    if set(measure.probes) - {"attentive_probe"}:
        results |= _probe_features(probed)
    if "attentive_probe" in measure.probes:
        results |= _attend(probed)
    return results


def _probe_features(probed: _Probed) -> Measurements:
    """Scores of probes on one feature vector a sample."""
    model, train, measure = probed.loaded.model, probed.train, probed.measure
    complete = extract_labelled(model, train, rows=probed.needed)
    tests = {
        share: extract_labelled(model, probed.test, hidden=share)
        for share in measure.hidden
    }
    results = _score(probed, complete, tests)
    if measure.hide_in_training:
        for share in filter(None, measure.hidden):
            copies = extract_labelled(model, train, rows=probed.needed, hidden=share)
            both = with_copies(complete, copies)
            results |= _score(probed, both, {share: tests[share]}, copied=True)
    return results


def _score(
    probed: _Probed,
    train: LabelledFeatures,
    tests: dict[float, LabelledFeatures],
    copied: bool = False,
) -> Measurements:
    """Scores of probes of features, which are trained once for all hidden shares of tests.

    copied: train holds partly hidden copies behind its samples.
    """
    labels = np.concatenate([each.labels for each in tests.values()])
    features = np.concatenate([each.features for each in tests.values()])
    stacked = LabelledFeatures(features, labels)
    probes = [each for each in probed.measure.probes if each != "attentive_probe"]
    results: Measurements = {}
    for probe, (count, rows) in itertools.product(probes, probed.draws.items()):
        places = places_of(rows, probed.needed, copied)
        predicted = probe_predictions(probe, train, stacked, draws=places)
        hits = (predicted == labels).reshape(len(predicted), len(tests), -1)
        for number, share in enumerate(tests):
            name = probe_name(probe, count, ProbeInput(share, copied))
            results[name] = _measurement(hits[:, number])
    return results


def _attend(probed: _Probed) -> Measurements:
    """Scores of attentive probes."""
    predicted, labels = attentive_predictions(
        "encoder",
        probed.loaded.model,
        probed.train,
        probed.test,
        list(probed.draws.values()),
        probe_inputs(probed.measure),
    )
    results: Measurements = {}
    for number, count in enumerate(probed.draws):
        for seen, classes in predicted.items():
            name = probe_name("attentive_probe", count, seen)
            results[name] = _measurement(classes[number] == labels)
    return results


def _measurement(hits: npt.NDArray[np.bool_]) -> Measurement:
    """Accuracy of hits (R, M)."""
    items = hits.mean(axis=0).astype(np.float32)
    return Measurement(float(items.mean()), "higher", items)


def draw_labels(train: SampleSource, count: int | str, draws: int) -> Draws:
    """Rows of random labelled samples; None where all labels are used. Raises: InputError for too few."""
    if count == "all":
        return None
    labels = require_labels(train)
    return few_label_draws(labels, int(count), draws, 0, train.class_names)
