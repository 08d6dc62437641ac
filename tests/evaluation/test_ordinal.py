"""Scores of ordered classes."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from r2mae.evaluation.ordinal import quadratic_kappa, score, summarize


def make(size=200, seed=0):
    draw = np.random.default_rng(seed)
    expected = draw.integers(0, 5, size)
    return np.clip(expected + draw.integers(-1, 3, size), 0, 4), expected


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_scikit_learns(seed):
    predicted, expected = make(seed=seed)
    theirs = cohen_kappa_score(predicted, expected, weights="quadratic")
    assert quadratic_kappa(predicted, expected) == pytest.approx(theirs)


def test_scores_by_hand():
    scores = score(np.array([0, 2, 2, 0]), np.array([0, 1, 2, 2]))
    assert scores["accuracy"] == 0.5
    assert scores["absolute_error"] == 0.75
    assert quadratic_kappa(np.array([1, 1]), np.array([1, 1])) == 0.0
    assert quadratic_kappa(np.array([0, 4]), np.array([4, 0])) == -1.0


def test_one_predicted_class_has_no_kappa_and_no_interval():
    expected = np.array([0, 1, 2] * 10)
    score = summarize([np.zeros(30, dtype=np.int64)] * 2, expected)
    assert score["quadratic_kappa"] == 0.0
    assert score["quadratic_kappa_half_width"] is None


def test_means_over_seeds_with_intervals():
    (first, expected), second = make(), make()[1]
    score = summarize([first, second], expected)
    assert score["seeds"] == [pytest.approx((first == expected).mean()), 1.0]
    assert score["accuracy"] == pytest.approx(np.mean(score["seeds"]))
    kappas = [quadratic_kappa(one, expected) for one in (first, second)]
    assert score["quadratic_kappa"] == pytest.approx(np.mean(kappas))
    assert score["half_width"] > 0
    assert score["quadratic_kappa_half_width"] > 0
    assert summarize([expected], expected)["quadratic_kappa_half_width"] is None
