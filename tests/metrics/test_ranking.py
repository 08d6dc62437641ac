"""Areas under curves against scikit-learn and by hand; intervals that hold the truth."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from r2mae.metrics.ranking import auroc, average_precision, rank_scores


@pytest.mark.parametrize("ties", [False, True])
def test_areas_are_scikit_learns(ties):
    draw = np.random.default_rng(0)
    for _ in range(20):
        flags = draw.random(60) < 0.3
        scores = draw.integers(0, 8, 60) if ties else draw.normal(size=60)
        assert auroc(scores, flags) == pytest.approx(roc_auc_score(flags, scores))
        assert average_precision(scores, flags) == pytest.approx(
            average_precision_score(flags, scores)
        )


def test_by_hand():
    assert auroc([3, 2, 1], [True, False, True]) == 0.5
    assert average_precision([3, 2, 1], [True, False, True]) == pytest.approx(
        (1 + 2 / 3) / 2
    )
    assert auroc([1, 1], [True, False]) == 0.5


def test_intervals_cover_as_often_as_they_say():
    draw, hits = np.random.default_rng(1), 0
    truth = 0.7602  # of two normals one standard deviation apart: Phi(1 / sqrt 2)
    for seed in range(60):
        flags = np.arange(200) < 60
        found = rank_scores(
            {"run": draw.normal(size=200) + flags}, flags, draws=200, seed=seed
        )["run"]["auroc"]
        hits += found["low"] <= truth <= found["high"]
    assert hits >= 52


def test_differences_are_paired():
    draw = np.random.default_rng(2)
    flags = np.arange(300) < 100
    ours = draw.normal(size=300) + flags
    found = rank_scores(
        {"run": ours, "same": ours * 2 + 1, "noise": draw.normal(size=300)},
        flags,
        draws=200,
    )
    assert found["same"]["auroc_difference"] == {"value": 0, "low": 0, "high": 0}
    assert found["noise"]["auroc_difference"]["low"] > 0.1
    assert found["noise"]["auroc_difference"]["value"] == pytest.approx(
        found["run"]["auroc"]["value"] - found["noise"]["auroc"]["value"]
    )


@pytest.mark.parametrize(("scores", "flags", "words"), [
    ([1.0, 2.0], [True, True], "both classes"),
    ([1.0], [True, False], "as long as scores"),
    ([1.0, np.nan], [True, False], "finite"),
])  # fmt: skip
def test_bad_input(scores, flags, words):
    with pytest.raises(ValueError, match=words):
        auroc(scores, flags)


def test_intervals_leave_out_resamples_of_one_class():
    """With 2 positives of 12, 1 resample of 9 has none; percentiles are those of the others."""
    scores, flags = np.arange(12.0) % 5, np.arange(12) < 2
    interval = rank_scores({"run": scores}, flags)["run"]["auroc"]
    draw, areas = np.random.default_rng(0), []
    for _ in range(1000):
        rows = draw.integers(0, 12, 12)
        if flags[rows].any():
            areas.append(roc_auc_score(flags[rows], scores[rows]))
    assert 800 < len(areas) < 950
    low, high = np.quantile(areas, (0.025, 0.975))
    assert (interval["low"], interval["high"]) == pytest.approx((low, high))
