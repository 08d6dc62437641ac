"""The theory solved on all samples and on halves: order of laws, bands, and what the seed decides."""

import math

import numpy as np
import pytest

from r2mae.advice import Uncertainty
from r2mae.advice.candidates import FIXED_RATIOS, GRID_STEP
from r2mae.advice.features import whiten_tokens
from r2mae.advice.solution import draw_targets, solve
from r2mae.law import FixedRatio, UniformRatio
from r2mae.theory import build_covariance

SMALL = Uncertainty((1.0,), (0.0, 0.5), (1.0,), (4.0, math.inf))
LAWS = [UniformRatio(0.2, 0.6), FixedRatio(0.5)]
HALVES = 4


def draw_rows(count=60, size=12):
    draw = np.random.default_rng(0).standard_normal((count, size))
    return draw @ np.linalg.cholesky(build_covariance("ar1:0.5", size)).T


def small(laws=LAWS, **options):
    options = {"uncertainty": SMALL, "bootstrap": HALVES} | options
    return solve(draw_rows(), laws, **options)


@pytest.fixture(scope="module")
def solution():
    return small()


def test_laws_to_judge_come_last(solution):
    assert solution.laws[-2:] == LAWS
    ratios = [law.ratio for law in solution.laws[: len(FIXED_RATIOS)]]
    np.testing.assert_allclose(ratios, FIXED_RATIOS)
    same = ratios.index(0.5)  # the second law to judge is a candidate, too
    assert solution.full.expected[same] == pytest.approx(solution.full.expected[-1])
    assert (solution.num_rows, solution.num_features) == (60, 12)


def test_bands_contain_the_estimate_and_most_halves(solution):
    assert len(solution.halves) == HALVES
    index = len(solution.laws) - 2
    for band, name in (
        (solution.expected_band(index), "expected"),
        (solution.worst_band(index), "worst"),
        (solution.excess_band(index), "excess"),
    ):
        estimate = getattr(solution.full, name)[index]
        halves = [getattr(half, name)[index] for half in solution.halves]
        low, high = band
        assert 0 <= low <= estimate <= high
        is_inside = [value <= high + 1e-12 for value in halves]
        assert np.mean(is_inside) >= 0.75


def test_the_best_fixed_ratio_is_known_to_half_a_step_at_best(solution):
    low, high = solution.best_fixed_band()
    best = solution.full.best_fixed
    assert low <= best - GRID_STEP / 2 + 1e-9 or low == 0
    assert high >= best + GRID_STEP / 2 - 1e-9
    fixed = solution.full.nominal[: len(FIXED_RATIOS)]
    assert best == FIXED_RATIOS[fixed.argmin()]


def test_more_rows_are_those_of_the_training_set_not_of_the_sample():
    many = small(num_rows=6000)
    assert many.num_rows == 6000
    few = small()
    # More samples leave less to regularise.
    assert many.full.nominal.min() < few.full.nominal.min()
    assert many.full.best_fixed <= few.full.best_fixed


def test_each_law_may_have_its_objective():
    mixed = small([LAWS[0]] * 2, objectives=["reconstruction", "downstream"])
    alike = small([LAWS[0]] * 2)  # reconstruction
    assert mixed.full.expected[-2] == pytest.approx(alike.full.expected[-2])
    assert mixed.full.expected[-1] != pytest.approx(alike.full.expected[-1])


def test_the_seed_decides_halves_and_progress_counts_them():
    seen = []
    first = small(progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, HALVES + 1) for done in range(HALVES + 2)]
    again, other = small(), small(seed=1)
    for one, two in zip(first.halves, again.halves, strict=True):
        np.testing.assert_array_equal(one.expected, two.expected)
    assert any(
        not np.array_equal(one.expected, two.expected)
        for one, two in zip(first.halves, other.halves, strict=True)
    )


def test_without_halves_the_bands_have_no_width():
    single = small(bootstrap=0)
    index = len(single.laws) - 1
    estimate = single.full.expected[index]
    assert single.expected_band(index) == pytest.approx((estimate, estimate))


def test_targets_are_leading_features_of_different_tokens():
    draw = np.random.default_rng(0).normal(size=(50, 6, 3))
    features = whiten_tokens(draw)
    targets = draw_targets(features, 4, rng=np.random.default_rng(0))
    assert len(set(targets)) == 4
    assert set(targets) <= set(features.leading.tolist())
    every = draw_targets(features, 99, rng=np.random.default_rng(0))
    assert sorted(every) == features.leading.tolist()
