import math

import numpy as np
import pytest

from r2mae.advice import Uncertainty, recommend
from r2mae.law import FixedRatio, MaskLaw, UniformRatio
from r2mae.theory import build_covariance

SMALL = Uncertainty((0.5, 2.0), (0.0, 0.5), (1.0,), (4.0, math.inf))


def rows(n, seed=0):
    """Features of variance 1, each a token."""
    return (
        np.random.default_rng(seed).standard_normal((n, 40))
        @ np.linalg.cholesky(build_covariance("ar1:0.5", 40)).T
    )


@pytest.fixture(scope="module")
def few():
    return recommend(
        rows(30), MaskLaw(UniformRatio(0.6, 0.9)), uncertainty=SMALL, bootstrap=3
    )


def test_fewer_samples_ask_for_more_masks(few):
    many = recommend(
        rows(3000), MaskLaw(UniformRatio(0.6, 0.9)), uncertainty=SMALL, bootstrap=3
    )
    assert few.best_fixed > many.best_fixed
    assert 0 <= many.masking_gain < few.masking_gain < 1
    assert few.num_rows == 30
    assert many.num_features == 40


def test_answers_are_consistent(few):
    # 1 - E[a^2] / E[a] = 1 - 0.07 / 0.25 of the visible share a, as all ratios weigh alike
    assert few.law_acts_like == pytest.approx(0.72, abs=1e-3)
    assert few.least_expected.expected <= few.law_regret.expected
    assert few.least_worst.worst <= few.least_expected.worst
    assert few.least_expected.expected <= few.least_expected_uniform.expected
    assert all(
        choice.worst >= choice.expected >= 0
        for choice in (few.least_expected, few.law_regret)
    )
    assert len(few.schedules) == 1  # one finite training time
    assert few.schedules[0].gain > -1e-6  # a ramp may stay where it is
    low, high = few.best_fixed_band
    assert 0.02 <= low <= high <= 0.96
    assert any("N = 30 is small" in text for text in few.warnings)


def test_the_best_fixed_ratio_has_no_excess_over_itself(few):
    own = recommend(
        rows(30), MaskLaw(FixedRatio(few.best_fixed)), uncertainty=SMALL, bootstrap=1
    )
    assert own.law_excess == pytest.approx(0, abs=1e-9)


def test_samples_beside_the_ones_that_were_read_count():
    advice = recommend(
        rows(300),
        MaskLaw(UniformRatio(0.6, 0.9)),
        num_rows=10**6,
        uncertainty=SMALL,
        bootstrap=1,
    )
    assert advice.num_rows == 10**6
    assert advice.best_fixed == 0.02
    assert "the least ratio tried" in advice.no_advice
    assert any("goes to 0 as 1/N" in text for text in advice.warnings)


def test_every_estimate_is_inside_its_band(few):
    assert few.no_advice is None
    low, high = few.best_fixed_band
    assert low < few.best_fixed < high
    low, high = few.law_excess_band
    assert low <= few.law_excess <= high
    for choice in (few.law_regret, few.least_expected, few.least_worst):
        low, high = choice.expected_band
        assert low <= choice.expected <= high
        low, high = choice.worst_band
        assert low <= choice.worst <= high
    for schedule in few.schedules:
        low, high = schedule.gain_band
        assert low <= schedule.gain <= high
