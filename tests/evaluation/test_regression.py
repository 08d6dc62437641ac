"""Scores of numbers: correlations, their intervals, and what is paired."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from r2mae.errors import InputError
from r2mae.evaluation.regression import (
    compare,
    require_targets,
    score,
    summarize,
)
from r2mae.metrics.interval import bootstrap_interval


def make(size, noise, seed=0):
    draw = np.random.default_rng(seed)
    expected = draw.normal(size=size)
    return expected, expected + noise * draw.normal(size=size)


def test_correlations_are_scipys():
    expected, predicted = make(50, 1.0)
    predicted[:10] = 0.5  # ties
    found = score(predicted, expected)
    assert found["pearson"] == pytest.approx(pearsonr(predicted, expected)[0])
    assert found["spearman"] == pytest.approx(spearmanr(predicted, expected)[0])
    assert found["squared_error"] == pytest.approx(((predicted - expected) ** 2).mean())
    assert score(np.ones(50), expected)["pearson"] == 0.0


def test_intervals_over_items_cover_the_truth():
    truth = 1 / np.sqrt(2)  # of equal signal and noise
    held = 0
    for seed in range(200):
        expected, predicted = make(80, 1.0, seed)
        score = summarize([predicted], expected)
        held += abs(score["pearson"] - truth) < score["half_width"]
    assert held / 200 == pytest.approx(0.94, abs=0.05)


def test_differences_are_paired():
    """Two runs that err alike differ by less than either is sure of."""
    expected, theirs = make(300, 1.0)
    ours = [theirs + 0.1 * (expected - theirs)] * 2
    found = compare(ours, [theirs, theirs], expected)
    alone = summarize(ours, expected)
    assert found["difference"] == pytest.approx(
        score(ours[0], expected)["pearson"] - pearsonr(theirs, expected)[0]
    )
    assert found["difference"] > 0
    assert found["half_width"] < alone["half_width"] / 2
    assert alone["seeds"][0] == alone["seeds"][1] == pytest.approx(alone["pearson"])


def test_data_without_numbers_is_refused():
    with pytest.raises(InputError, match="target must not be regression for data"):
        require_targets(object())


def test_spearman_has_an_interval_of_its_own():
    expected, predicted = make(200, 1.0)
    score = summarize([predicted], expected)
    assert score["spearman"] == pytest.approx(spearmanr(predicted, expected)[0])
    assert 0 < score["spearman_half_width"] < 0.2
    ties = np.round(expected)
    one = summarize([ties], ties + np.arange(200) % 2)
    low, high = bootstrap_interval(
        lambda rows: spearmanr(ties[rows], (ties + np.arange(200) % 2)[rows])[0], 200
    )
    assert one["spearman_half_width"] == pytest.approx(float(high - low) / 2)
