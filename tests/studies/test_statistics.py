import math

import numpy as np
import pytest
from scipy import stats

from r2mae.studies.statistics import (
    compare,
    compare_to_fair,
    holm,
    mean_specialist_regret,
    paired_difference,
    regrets,
    specialist_regret,
)
from r2mae.studies.table import Metric, Table

RNG = np.random.default_rng(0)


def test_is_the_paired_t_test():
    ours, theirs = RNG.normal(1, 1, 6), RNG.normal(0, 1, 6)
    result = paired_difference(ours - theirs)
    expected = stats.ttest_rel(ours, theirs)
    low, high = expected.confidence_interval(0.95)
    assert result.p_value == pytest.approx(expected.pvalue)
    assert result.mean - result.half_width == pytest.approx(low)
    assert result.mean + result.half_width == pytest.approx(high)


def test_interval_over_seeds_and_items_covers():
    """Seeds and items are both drawn anew; the true difference is 0."""
    covered = without_items = 0
    for _ in range(400):
        item = RNG.normal(0, 1, 40)
        gains = RNG.normal(0, 0.05, (5, 1)) + item + RNG.normal(0, 0.2, (5, 40))
        result = paired_difference(gains.mean(axis=1), gains)
        covered += abs(result.mean) <= result.half_width
        of_seeds = paired_difference(gains.mean(axis=1))
        without_items += abs(of_seeds.mean) <= of_seeds.half_width
    assert covered / 400 > 0.93
    assert without_items / 400 < 0.9


def test_detectable_difference_is_found_in_most_studies():
    truth = paired_difference(np.array([-1.0, 0.0, 0.5, 1.0, -0.5]) * 2).detectable
    spread = 2 * np.std([-1.0, 0.0, 0.5, 1.0, -0.5], ddof=1)
    draws = RNG.normal(truth, spread, (2000, 5))
    found = [paired_difference(draw).p_value < 0.05 for draw in draws]
    assert 0.7 < np.mean(found) < 0.9


def test_one_seed_has_no_interval():
    result = paired_difference(np.array([0.5]))
    assert result.mean == 0.5
    assert math.isnan(result.half_width)
    assert result.verdict == ""  # nothing was compared


def test_holm():
    # Holm 1979, by hand: 0.01 x 4, 0.02 x 3 = 0.06, max(0.06, 0.03 x 2), max(0.06, 0.04).
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


LOSSES = Metric(
    "held-out loss at 0.5",
    "lower",
    {
        "fixed 0.5": np.array([1.0, 1.1, 1.2]),
        "fixed 0.9": np.array([0.7, 1.3, 1.4]),
        "uniform": np.array([0.9, 1.0, 1.1]),
    },
    {},
)
TABLE = Table(
    (),
    (0, 1, 2),
    ("fixed 0.5", "fixed 0.9", "uniform"),
    {"fixed 0.5": 0.5, "fixed 0.9": 0.9},
    {LOSSES.name: LOSSES},
)


def test_gains_are_positive_where_the_law_is_better():
    assert compare(LOSSES, "uniform", "fixed 0.5").mean == pytest.approx(0.1)
    assert compare(LOSSES, "uniform", "fixed 0.5").verdict == "wins"
    assert compare(LOSSES, "fixed 0.5", "uniform").mean == pytest.approx(-0.1)


def test_the_fair_fixed_ratio_is_chosen_by_the_other_seeds():
    # Without seed 0 fixed 0.5 is better; without seed 1 fixed 0.9 (1.05 to 1.1);
    # without seed 2 fixed 0.9 (1.0 to 1.05).
    theirs = np.array([1.0, 1.3, 1.4])
    expected = paired_difference(theirs - np.array([0.9, 1.0, 1.1]))
    found = compare_to_fair(LOSSES, "uniform", ["fixed 0.5", "fixed 0.9"])
    assert found == expected


def test_regrets():
    assert regrets(TABLE, "uniform") == {LOSSES.name: 0.0}
    assert regrets(TABLE, "fixed 0.5")[LOSSES.name] == pytest.approx(0.1)
    excess = specialist_regret(TABLE, "uniform")
    assert list(excess) == [0.5]  # 0.9 is not measured
    assert excess[0.5].mean == pytest.approx(np.mean([-0.1, -0.1 / 1.1, -0.1 / 1.2]))
    assert mean_specialist_regret(TABLE, "uniform") == excess[0.5]


def test_the_best_law_of_a_ratio_is_its_specialist():
    fixed = {"fixed 0.5": 0.5, "fixed 0.9": 0.5}  # in another scope, say
    table = Table((), TABLE.seeds, TABLE.laws, fixed, TABLE.metrics)
    (excess,) = specialist_regret(table, "uniform").values()
    expected = np.mean([-0.1, -0.1 / 1.1, -0.1 / 1.2])  # against the lower mean
    assert excess.mean == pytest.approx(expected)
