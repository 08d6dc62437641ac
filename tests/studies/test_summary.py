import math

import numpy as np
import pytest

from r2mae.studies.rows import comparison_rows, summary_rows
from r2mae.studies.statistics import paired_difference
from r2mae.studies.summary import (
    describe_gain,
    gain_rows,
    mean_gain,
    with_interval,
)
from r2mae.studies.table import Metric, Table

LOSSES = {
    "fixed 0.25": np.array([2.0, 2.0, 4.0]),
    "fixed 0.75": np.array([3.0, 3.0, 2.0]),
    "random": np.array([1.0, 2.0, 3.0]),
}
RIGHT = np.array([[1.0, 0, 1, 1], [1, 0, 0, 1], [1, 1, 0, 1]])  # (seeds, items)
HITS = {"fixed 0.25": RIGHT, "fixed 0.75": RIGHT, "random": RIGHT / 2}


def table(*metrics, seeds=(0, 1, 2)):
    fixed = {"fixed 0.25": 0.25, "fixed 0.75": 0.75}
    return Table((), seeds, tuple(LOSSES), fixed, {each.name: each for each in metrics})


def loss(at, scale=1.0):
    values = {law: scale * each for law, each in LOSSES.items()}
    return Metric(f"held-out loss at {at}", "lower", values, {})


def accuracy(name):
    values = {law: each.mean(axis=1) for law, each in HITS.items()}
    return Metric(name, "higher", values, HITS)


def test_kinds_of_measurements_are_kept_apart():
    names = [
        "knn, all labels",
        "knn, all labels, 25% hidden",
        "linear_probe, 5 labels per class",
    ]
    rows = gain_rows(table(loss(0.25), loss(0.5), *map(accuracy, names)), "random")
    counts = {row["kind"]: row["count"] for row in rows}
    assert counts == {"held-out loss": 2, "probes": 2, "probes, input partly hidden": 1}


def test_fair_ratio_comes_from_the_other_seeds_and_the_oracle_from_all():
    metric = loss(0.25)
    # Without seed 0: 3 against 2.5; without seed 1: the same; without seed 2: 2 against 3.
    theirs = np.array([3.0, 3.0, 4.0])
    gains = (theirs - LOSSES["random"]) / theirs.mean()
    expected = paired_difference(gains)
    assert mean_gain(table(metric), "random", [metric], "fair") == expected
    oracle = mean_gain(table(metric), "random", [metric], "oracle")
    assert oracle.mean == pytest.approx(0.25)  # 8 / 3 of both; the first is taken


def test_scale_of_a_measurement_does_not_matter():
    one, large = loss(0.25), loss(0.5, scale=1000.0)
    both = mean_gain(table(one, large), "random", [one, large], "fair")
    alone = mean_gain(table(one), "random", [one], "fair")
    assert both.mean == pytest.approx(alone.mean)


def test_test_samples_widen_the_interval_of_probes():
    metric = accuracy("knn, all labels")
    without_items = Metric(metric.name, "higher", metric.values, {})
    with_items = mean_gain(table(metric), "random", [metric], "oracle")
    narrow = mean_gain(table(metric), "random", [without_items], "oracle")
    assert with_items.mean == pytest.approx(narrow.mean)
    assert with_items.half_width > narrow.half_width


def test_one_seed_has_no_interval():
    metric = loss(0.25)
    gain = mean_gain(table(metric, seeds=(0,)), "random", [metric], "fair")
    assert describe_gain(gain) == "one seed"


def test_a_measurement_whose_reference_is_zero_counts_as_no_gain():
    zeros = {law: np.zeros(3) for law in LOSSES} | {"random": np.ones(3)}
    zero, metric = Metric("task", "higher", zeros, {}), loss(0.25)
    both = mean_gain(table(metric, zero), "random", [metric, zero], "fair")
    alone = mean_gain(table(metric), "random", [metric], "fair")
    assert both.mean == pytest.approx(alone.mean / 2)


def test_one_seed_neither_wins_nor_ties():
    values = {law: each[:1] for law, each in LOSSES.items()}
    metric = Metric("held-out loss at 0.25", "lower", values, {})
    of_one = table(metric, seeds=(0,))
    for row in summary_rows(of_one, comparison_rows(of_one)):
        assert row["wins"] == row["ties"] == row["loses"] == 0
        text = with_interval(row["specialist_regret"], math.nan, ".1%")
        assert "nan" not in text
