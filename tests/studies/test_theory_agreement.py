"""Rank correlation and calibration of predictions, where they are known."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from r2mae.studies.table import Metric, Table
from r2mae.studies.theory_agreement import agreements, law_rows
from r2mae.studies.theory_card import TheoryCard
from r2mae.studies.theory_section import (
    describe_agreement,
    describe_card,
    theory_section,
)
from tests.studies.small import prediction

LAWS = ("a", "b", "c", "d")
DATA = {
    "num_rows": 100,
    "num_features": 16,
    "no_advice": None,
    "best_fixed": 0.3,
    "best_fixed_band": [0.2, 0.4],
    "fixed_ratios": [0.2, 0.4],
    "fixed_excess_risks": [2.0, 1.0],
}


def card(regrets, halves=None):
    """A card of one part with the predicted regret of each law."""
    laws = {
        law: {
            "prediction": vars(prediction(regret, (halves or {}).get(law))),
        }
        for law, regret in regrets.items()
    }
    part = {"laws": laws, "data": DATA, "unavailable": None, "trials_started": 0}
    return TheoryCard([part | {"created": "2026-01-01", "sha256": "0" * 64}])


def table(losses, name="held-out loss at 0.5", better="lower"):
    """A table of one metric; losses: law -> value of each seed."""
    values = {law: np.array(each, dtype=float) for law, each in losses.items()}
    seeds = tuple(range(len(next(iter(values.values())))))
    metric = Metric(name, better, values, {})
    return Table((), seeds, tuple(values), {"a": 0.25}, {name: metric})


def means(*values):
    return {law: [value] * 3 for law, value in zip(LAWS, values, strict=False)}


def test_predictions_that_are_measured_exactly():
    measured = table(means(1.0, 1.1, 1.2, 1.4))
    (result,) = agreements(measured, card({"a": 0, "b": 0.1, "c": 0.2, "d": 0.4}))
    assert result.tau == pytest.approx(1)
    assert result.tau_band == pytest.approx((1, 1))
    assert result.p_value == pytest.approx(2 / math.factorial(4))
    assert result.slope == pytest.approx(1)
    assert result.mean_error == pytest.approx(0)
    assert result.choice == ["a"]
    assert result.cost == pytest.approx(0)
    assert result.random_cost == pytest.approx(0.7 / 4)


def test_predictions_of_the_opposite_order():
    measured = table(means(1.3, 1.2, 1.1, 1.0))
    predicted = card({"a": 0.0, "b": 0.5, "c": 1.0, "d": 1.5})
    (result,) = agreements(measured, predicted)
    assert result.tau == pytest.approx(-1)
    assert result.slope == pytest.approx(-0.2)
    assert result.mean_error == pytest.approx(0.75 - 0.15)
    assert result.cost == pytest.approx(0.3)
    assert "-1.00 (-1.00 to -1.00)" in describe_agreement(result)
    assert "(a) would have cost 30.0%" in describe_agreement(result)


def test_higher_is_better_for_accuracy():
    accuracy = table(means(0.8, 0.4, 0.2), "knn, all labels", "higher")
    (result,) = agreements(accuracy, card({"a": 0, "b": 0.5, "c": 0.75}))
    assert result.kind == "probes"
    assert result.tau == pytest.approx(1)
    assert result.mean_error == pytest.approx(0)


def test_laws_of_one_prediction_are_one_point():
    measured = table(means(1.0, 1.2, 1.3, 1.5))
    predicted = card({"a": 0.1, "b": 0.1 + 1e-14, "c": 0.2, "d": 0.3})
    (result,) = agreements(measured, predicted)
    assert result.points == 3
    assert result.choice == ["a", "b"]
    assert result.mean_error == pytest.approx((0.6 - (0.1 + 0.3 + 0.5)) / 3)
    assert result.cost == pytest.approx(0)  # of the mean of a and b
    assert result.p_value == pytest.approx(2 / math.factorial(3))


def test_two_predictions_have_no_correlation():
    (result,) = agreements(table(means(1.0, 1.2)), card({"a": 0.1, "b": 0.3}))
    assert result.tau is result.slope is result.p_value is None
    assert result.cost == pytest.approx(0)
    assert "2 different predictions, too few" in describe_agreement(result)


def test_tau_is_that_of_scipy_where_measurements_tie():
    losses, predicted = (1.0, 1.2, 1.2, 1.5), (0.1, 0.3, 0.2, 0.4)
    regrets = dict(zip(LAWS, predicted, strict=True))
    (result,) = agreements(table(means(*losses)), card(regrets))
    assert result.tau == pytest.approx(stats.kendalltau(predicted, losses).statistic)


def test_intervals_hold_the_spread_of_seeds_and_of_half_samples():
    regrets = {"a": 0.1, "b": 0.2, "c": 0.3}
    seeds = table({"a": [1.0, 1.4], "b": [1.1, 1.1], "c": [1.2, 1.2]})
    (result,) = agreements(seeds, card(regrets))
    assert result.tau == pytest.approx(0)  # a has the mean of c
    assert result.tau_band == pytest.approx((-1, 1))  # seed 0 alone has a tau of 1
    halves = {"a": [0.1, 0.4], "b": [0.2, 0.2], "c": [0.3, 0.3]}
    (result,) = agreements(table(means(1.0, 1.1, 1.2)), card(regrets, halves))
    assert result.tau == pytest.approx(1)
    assert result.tau_band == pytest.approx((-1 / 3, 1))
    assert result.cost_band == pytest.approx((0, 0.1))


def test_kinds_of_measurements_are_kept_apart():
    both = table(means(1.0, 1.1, 1.2))
    accuracy = table(means(0.2, 0.4, 0.8), "knn, all labels", "higher")
    both.metrics.update(accuracy.metrics)
    compared = agreements(both, card({"a": 0.1, "b": 0.2, "c": 0.3}))
    taus = {each.kind: each.tau for each in compared}
    assert taus["held-out loss"] == pytest.approx(1)
    assert taus["probes"] == pytest.approx(-1)
    assert compared[0].kind == "all measurements"
    assert compared[0].count == 2


def test_laws_without_a_prediction_are_listed_last_and_left_out():
    measured = table(means(1.0, 1.1, 1.2, 0.9))
    predicted = card({"c": 0.1, "b": 0.2, "a": 0.3})
    rows = law_rows(measured, predicted)
    assert [row["law"] for row in rows] == ["c", "b", "a", "d"]
    assert "predicted_regret" not in rows[-1]
    (result,) = agreements(measured, predicted)
    assert result.points == 3
    assert json.loads(json.dumps(vars(result)))["cost"] == pytest.approx(0.2 / 0.9)
    page = theory_section(measured, predicted)
    assert "before any of their trials started" in page
    assert page.count("<svg") == 1


def test_a_study_without_a_card_is_one_sentence():
    page = theory_section(table(means(1.0, 1.1)), None)
    assert page.count("<p>") == 1
    assert "no theory card" in page


def test_a_card_of_other_laws_is_one_sentence():
    page = theory_section(table(means(1.0, 1.1)), card({"c": 0.1, "d": 0.2}))
    assert page.count("<p>") == 1
    assert "none of its laws is in the theory card" in page


def test_later_laws_without_predictions_are_named():
    predicted = card({"a": 0.1, "b": 0.2})
    failed = {"laws": {}, "data": None, "unavailable": "data must have 20 samples."}
    predicted.parts.append(predicted.parts[0] | failed)
    lines = describe_card(predicted)
    assert "No predictions of later laws: data must have 20 samples." in lines
    assert not any("for 0 laws" in line for line in lines)


def test_the_report_says_where_the_theory_gives_no_advice():
    predicted = card({"a": 0.1, "b": 0.2})
    (part,) = predicted.parts
    part["data"] = DATA | {"no_advice": "the best fixed ratio is 0.02"}
    page = theory_section(table(means(1.0, 1.1)), predicted)
    assert "gives no advice here, because the best fixed ratio is 0.02." in page
