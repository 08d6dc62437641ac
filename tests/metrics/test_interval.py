import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import ndtr

from r2mae.metrics.interval import (
    bootstrap_interval,
    mean_interval,
    none_if_nan,
    paired_bootstrap,
    paired_interval,
    ratio_interval,
    repeated_bootstrap,
    share_difference_interval,
    share_interval,
)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
def test_two_values_have_a_closed_form(confidence):
    # One degree of freedom is the Cauchy distribution: its quantile is a tangent.
    mean, half = mean_interval([1.0, 4.0], confidence)
    assert mean == 2.5
    assert half == pytest.approx(1.5 * math.tan(math.pi * confidence / 2), rel=1e-10)


@pytest.mark.parametrize("size", [3, 5, 12])
def test_the_interval_holds_its_share_of_the_t_density(size):
    values = np.random.default_rng(size).normal(3, 2, size=size).tolist()
    mean, half = mean_interval(values, 0.9)
    centre = math.fsum(values) / size
    error = math.sqrt(
        math.fsum((value - centre) ** 2 for value in values) / (size - 1) / size
    )
    degrees = size - 1
    factor = (
        math.gamma(size / 2) / math.sqrt(degrees * math.pi) / math.gamma(degrees / 2)
    )
    share = quad(
        lambda t: factor * (1 + t * t / degrees) ** (-size / 2),
        -half / error,
        half / error,
    )[0]
    assert mean == pytest.approx(centre, rel=1e-12)
    assert share == pytest.approx(0.9, rel=1e-8)


def test_coverage_in_simulation():
    samples = np.random.default_rng(0).normal(1, 5, size=(4000, 4))
    inside = sum(abs(mean - 1) <= half for mean, half in map(mean_interval, samples))
    assert abs(inside / 4000 - 0.95) < 5 * math.sqrt(0.95 * 0.05 / 4000)


def test_one_value_has_no_width_and_equal_values_have_none():
    mean, half = mean_interval([0.25])
    assert mean == 0.25
    assert math.isnan(half)
    assert mean_interval([2, 2, 2]) == (2.0, 0.0)


@pytest.mark.parametrize(
    ("values", "confidence", "message"),
    [
        ([], 0.95, "values must have 1 axis"),
        ([[1.0, 2.0]], 0.95, "values must have 1 axis"),
        ([1.0, math.inf], 0.95, "values must be finite, got 1 NaN or infinite"),
        ([1.0, 2.0], 95, r"confidence must be in \(0, 1\), got 95"),
        ([1.0, 2.0], 0.0, r"confidence must be in \(0, 1\), got 0.0"),
        ([1.0, 2.0], math.nan, r"confidence must be in \(0, 1\), got nan"),
    ],
)
def test_bad_input_is_one_line(values, confidence, message):
    with pytest.raises(ValueError, match=message) as caught:
        mean_interval(values, confidence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("size", "share"), [(200, 0.1), (200, 0.5), (200, 0.9), (10_000, 0.99)]
)
def test_coverage_of_a_share_in_simulation(size, share):
    rounds = 4000
    counts = np.random.default_rng(0).binomial(size, share, rounds)
    widths = {
        count: share_interval(np.arange(size) < count) for count in set(counts.tolist())
    }
    inside = sum(
        abs(widths[count][0] - share) <= widths[count][1] for count in counts.tolist()
    )
    assert 0.935 < inside / rounds < 0.985


def test_a_share_against_wilson_by_root_finding():
    found, half = share_interval([1] * 30 + [0] * 10)
    ends = [
        brentq(lambda p: (0.75 - p) ** 2 - 1.959964**2 * p * (1 - p) / 40, *side)
        for side in ((0, 0.75), (0.75, 1))
    ]
    assert found == 0.75
    assert half == pytest.approx(max(0.75 - ends[0], ends[1] - 0.75), rel=1e-5)


def test_all_hits_are_no_certainty():
    assert share_interval([True] * 360) == (
        1.0,
        pytest.approx(3.8415 / (360 + 3.8415), rel=1e-4),
    )
    assert share_interval([0])[1] > 0.7


@pytest.mark.parametrize(
    ("hits", "confidence", "message"),
    [
        ([], 0.95, "hits must hold at least 1 item"),
        ([0, 2], 0.95, "hits must be from 0 to trials"),
        ([0, 1], 95, r"confidence must be in \(0, 1\), got 95"),
    ],
)
def test_a_bad_share_is_one_line(hits, confidence, message):
    with pytest.raises(ValueError, match=message) as caught:
        share_interval(hits, confidence=confidence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("hits", "size"), [(0, 7), (1, 9), (30, 40), (999, 1000)])
def test_the_half_width_of_a_share_is_wilsons_closed_form(hits, size):
    share, square = hits / size, 1.959963984540054**2 / size
    centre = (share + square / 2) / (1 + square)
    reach = math.sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    half = share_interval(np.arange(size) < hits)[1]
    assert half == pytest.approx(abs(centre - share) + reach, rel=1e-12)


def test_paired_differences_are_those_of_their_mean():
    ours, theirs = [0.9, 0.8, 0.85], [0.7, 0.75, 0.6]
    assert paired_interval(ours, theirs) == mean_interval(np.subtract(ours, theirs))
    with pytest.raises(ValueError, match=r"others must be as long as values \(3\)"):
        paired_interval(ours, theirs[:2])


def test_a_ratio_with_equal_denominators_is_a_mean():
    values = np.random.default_rng(0).normal(3, 2, 50)
    ratio, half = ratio_interval(values * 4, np.full(50, 4.0))
    assert ratio == pytest.approx(values.mean())
    assert half == pytest.approx(1.959964 * values.std(ddof=1) / math.sqrt(50))
    assert math.isnan(ratio_interval([2.0], [4.0])[1])


def test_coverage_of_a_ratio_in_simulation():
    """Rows of 5 to 50 tokens, whose shares of hits vary from row to row around 0.6."""
    draw, inside = np.random.default_rng(0), 0
    for _ in range(2000):
        tokens = draw.integers(5, 51, 100)
        hits = draw.binomial(tokens, draw.beta(6, 4, 100))
        ratio, half = ratio_interval(hits, tokens)
        inside += abs(ratio - 0.6) <= half
    assert abs(inside / 2000 - 0.945) < 0.015


@pytest.mark.parametrize("denominators", [[1.0], [0.0, 0.0]])
def test_a_ratio_needs_denominators(denominators):
    with pytest.raises(ValueError, match="denominators must be as long as numerators"):
        ratio_interval([1.0, 2.0], denominators)


def test_the_bootstrap_is_scipys():
    from scipy.stats import bootstrap

    values = np.random.default_rng(0).exponential(size=80)
    low, high = bootstrap_interval(
        lambda rows: np.median(values[rows]), 80, draws=200, seed=3, confidence=0.9
    )
    reference = bootstrap(
        (values,),
        np.median,
        n_resamples=200,
        method="percentile",
        confidence_level=0.9,
        random_state=np.random.default_rng(3),
    ).confidence_interval
    assert (low, high) == pytest.approx(tuple(reference), rel=1e-12)


def test_the_bootstrap_leaves_resamples_without_a_value_out():
    def statistic(rows):
        mean = float(rows.mean())
        return np.array([mean, mean if 0 in rows else np.nan])

    low, high = bootstrap_interval(statistic, 20)
    assert low.shape == high.shape == (2,)
    assert np.isfinite([low, high]).all()
    assert high[1] < high[0]  # those without item 0 have the larger means


def test_the_half_width_of_one_item_is_none_in_json():
    assert none_if_nan(math.nan) is None
    assert none_if_nan(0.25) == 0.25


def test_trials_of_an_item_that_agree_count_once():
    """Tokens of a row that are all right or all wrong are worth one item."""
    rows = np.arange(30) < 12
    whole, half = share_interval(rows * 8, np.full(30, 8))
    assert (whole, half) == pytest.approx(share_interval(rows))


def test_independent_trials_count_each():
    rng = np.random.default_rng(0)
    tokens = rng.random((2000, 8)) < 0.3
    by_row = share_interval(tokens.sum(axis=1), np.full(2000, 8))[1]
    assert by_row == pytest.approx(share_interval(tokens.ravel())[1], rel=0.05)


def test_intervals_over_items_and_repeats_cover_the_truth():
    """Items differ in difficulty, repeats in skill."""
    rng = np.random.default_rng(0)
    covered, covered_difference, rounds = 0, 0, 500
    truth = ndtr(1 / np.sqrt(2.04))
    for _ in range(rounds):
        difficulty = rng.standard_normal(200)
        ours, theirs = (
            difficulty
            + 0.2 * rng.standard_normal((5, 1))
            + rng.standard_normal((5, 200))
            > -1
            for _ in range(2)
        )
        share, half = share_interval(ours)
        covered += abs(share - truth) <= half
        difference, half = share_difference_interval(ours, theirs)
        covered_difference += abs(difference) <= half
    assert 0.93 < covered / rounds <= 1
    assert 0.93 < covered_difference / rounds <= 1


def mean_error(predicted, expected):
    return float((predicted - expected).mean())


def test_the_bootstrap_over_repeats_adds_their_spread():
    rng = np.random.default_rng(0)
    errors, expected = rng.standard_normal(300), 5 * rng.standard_normal(300)
    one = repeated_bootstrap(mean_error, [expected + errors], expected)
    assert one == pytest.approx(1.96 * errors.std() / np.sqrt(300), rel=0.1)
    repeats = [expected + errors - 0.1, expected + errors + 0.1]
    two = repeated_bootstrap(mean_error, repeats, expected)
    assert two == pytest.approx(np.hypot(one, 12.7062 * 0.1), rel=0.01)
    assert repeated_bootstrap(mean_error, [np.ones(12)], np.zeros(12)) is None


def test_the_paired_bootstrap_is_that_of_the_differences():
    rng = np.random.default_rng(0)
    expected, zeros = 5 * rng.standard_normal(300), np.zeros(300)
    theirs = [expected + rng.standard_normal(300) for _ in range(2)]
    ours = [each + 0.5 + 0.1 * rng.standard_normal(300) for each in theirs]
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    compared = paired_bootstrap(mean_error, ours, theirs, expected)
    assert compared["difference"] == pytest.approx(np.mean(differences))
    half_width = repeated_bootstrap(mean_error, differences, zeros)
    assert compared["half_width"] == pytest.approx(half_width)
    assert half_width < 0.1 < repeated_bootstrap(mean_error, ours, zeros)
    assert paired_bootstrap(mean_error, ours, ours, expected)["half_width"] is None
