"""Predictions for a list of laws are those of `recommend` for each of them."""

import math

import numpy as np
import pytest

from r2mae.advice import Uncertainty, predict_laws, recommend
from r2mae.law import FixedRatio, MaskLaw, UniformRatio
from r2mae.theory import build_covariance

SMALL = Uncertainty((1.0,), (0.0, 0.5), (1.0,), (4.0, math.inf))
RATIOS = [UniformRatio(0.6, 0.9), FixedRatio(0.5), UniformRatio(0.1, 0.9)]
LAWS = [MaskLaw(ratio, scope="sample") for ratio in RATIOS]


@pytest.fixture(scope="module")
def rows():
    draw = np.random.default_rng(0).standard_normal((30, 12))
    return draw @ np.linalg.cholesky(build_covariance("ar1:0.5", 12)).T


@pytest.fixture(scope="module")
def predictions(rows):
    return predict_laws(rows, LAWS, uncertainty=SMALL, bootstrap=2)


@pytest.mark.parametrize("number", range(len(LAWS)))
def test_each_law_has_the_numbers_of_recommend(rows, predictions, number):
    advice = recommend(rows, LAWS[number], uncertainty=SMALL, bootstrap=2)
    prediction = predictions.laws[number]
    assert prediction.expected_regret == pytest.approx(advice.law_regret.expected)
    band = advice.law_regret.expected_band
    assert prediction.expected_regret_band == pytest.approx(band)
    assert prediction.acts_like == pytest.approx(advice.law_acts_like)
    least = min(predictions.fixed_excess_risks)
    assert prediction.excess_risk == pytest.approx(least * (1 + advice.law_excess))
    assert predictions.best_fixed == advice.best_fixed
    assert predictions.best_fixed_band == pytest.approx(advice.best_fixed_band)
    assert predictions.least_expected == advice.least_expected.law
    assert predictions.no_advice == advice.no_advice
    assert predictions.warnings == advice.warnings


def test_the_curve_goes_through_the_fixed_laws(predictions):
    place = predictions.fixed_ratios.index(0.5)
    curve = predictions.fixed_excess_risks
    assert predictions.laws[1].excess_risk == pytest.approx(curve[place])
    best = predictions.fixed_ratios[int(np.argmin(curve))]
    assert best == predictions.best_fixed


def test_a_band_comes_from_the_half_samples(predictions):
    for prediction in predictions.laws:
        halves = np.array(prediction.half_sample_regrets)
        assert len(halves) == 2
        distances = np.abs(halves - prediction.expected_regret)
        high = prediction.expected_regret + np.quantile(distances, 0.9)
        assert prediction.expected_regret_band[1] == pytest.approx(high)


def test_many_samples_have_predictions_without_advice(rows):
    predictions = predict_laws(
        rows, LAWS[:1], num_rows=10**6, uncertainty=SMALL, bootstrap=1
    )
    assert "the least ratio tried" in predictions.no_advice
    assert predictions.laws[0].expected_regret > 0


def test_weights_of_ratios_are_those_of_the_loss(rows):
    """A mean over one step of one ratio weighs all ratios alike, as 1 / ratio does."""
    wide = UniformRatio(0.1, 0.9)
    laws = [
        MaskLaw(wide),
        MaskLaw(wide, scope="stratified", weight="inverse_ratio"),
        MaskLaw(wide, scope="stratified"),
        MaskLaw(wide, weight="sum"),
    ]
    options = {"uncertainty": SMALL, "bootstrap": 1}
    step, inverse, tokens, total = predict_laws(rows, laws, **options).laws
    assert step.expected_regret == pytest.approx(inverse.expected_regret, rel=1e-5)
    assert tokens.expected_regret == pytest.approx(total.expected_regret, rel=1e-5)
    assert step.expected_regret != pytest.approx(tokens.expected_regret, rel=0.01)
    advice = recommend(rows, laws[0], **options)
    assert step.expected_regret == pytest.approx(advice.law_regret.expected)
    assert step.acts_like == pytest.approx(advice.law_acts_like)
    stratified = recommend(rows, laws[2], **options)
    assert tokens.expected_regret == pytest.approx(stratified.law_regret.expected)
