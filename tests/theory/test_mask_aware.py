import math

import pytest

from r2mae.law import FixedRatio, MaskLaw, UniformRatio
from r2mae.theory import (
    build_covariance,
    build_problem,
    mask_aware,
    predict,
    regress_on_others,
    simulate,
)

CASE = regress_on_others(build_covariance("ar1:0.9", 121), 60)
WIDE = UniformRatio(0.05, 0.9)


def test_the_gain_is_what_simulation_shows():
    law, asked = MaskLaw(WIDE, levels=4), (0.1, 0.8)
    found = mask_aware(build_problem(*CASE), 300, law, test_mask_ratios=asked)
    shared = aware = 0.0
    for test_ratio in asked:
        nearest = min(law.table(), key=lambda level: abs(level - test_ratio))
        options = {"masks_per_row": math.inf, "test_mask_ratio": test_ratio}
        shared += simulate(*CASE, 300, law, **options).excess_risk / 2
        aware += (
            simulate(*CASE, 300, FixedRatio(float(nearest)), **options).excess_risk / 2
        )
    assert found.shared == pytest.approx(shared, rel=0.05)
    assert found.aware == pytest.approx(aware, rel=0.05)
    assert found.gain == pytest.approx(1 - found.aware / found.shared)
    assert found.gain > 0.15


def test_over_many_test_ratios_seeing_the_mask_beats_the_best_fixed_ratio():
    problem, asked = build_problem(*CASE), [0.1 * step for step in range(1, 10)]
    aware = mask_aware(problem, 300, WIDE, test_mask_ratios=asked, levels=16).aware
    options = {"masks_per_row": math.inf}
    best = min(
        sum(
            predict(
                problem, 300, FixedRatio(p / 20), test_mask_ratio=q, **options
            ).excess_risk
            for q in asked
        )
        / 9
        for p in range(1, 20)
    )
    assert aware < 0.9 * best


def test_one_mask_a_row_splits_the_rows():
    problem = build_problem(*CASE)
    found = mask_aware(
        problem, 4000, MaskLaw(WIDE, levels=4), test_mask_ratios=[0.2], masks_per_row=1
    )
    level = float(WIDE.levels(4)[0])
    alone = predict(problem, 1000, FixedRatio(level), test_mask_ratio=0.2).excess_risk
    assert found.aware == pytest.approx(alone, rel=1e-9)
