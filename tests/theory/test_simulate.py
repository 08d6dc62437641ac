import json
import math

import numpy as np
import pytest

from r2mae.law import FixedRatio, UniformRatio
from r2mae.theory import build_covariance, excess_risk, regress_on_others, simulate
from tests.theory.test_prediction import CASES, needs_reference, points, settings

CASE = regress_on_others(build_covariance("ar1:0.7", 61), 30)


@needs_reference
def test_agrees_with_the_reference_simulation():
    chosen = points()[::10]  # all of them: scripts/theory.py
    far = 0
    for point in chosen:
        law, options = settings(point)
        drawn = simulate(
            *CASES[point["case"]], point["num_rows"], law, num_sets=40, **options
        )
        joint = math.hypot(drawn.standard_error, point["standard_error"])
        far += abs(drawn.excess_risk - point["simulated_excess_risk"]) > 3 * joint
    assert far <= 1, json.dumps(far)


def test_many_epochs_tend_to_fresh_masks():
    law = UniformRatio(0.2, 0.8)
    limit = simulate(*CASE, 100, law, masks_per_row=math.inf).excess_risk
    gaps = [
        abs(simulate(*CASE, 100, law, masks_per_row=epochs).excess_risk - limit)
        for epochs in (1, 8, 64)
    ]
    assert gaps[0] > 3 * gaps[1] > 3 * gaps[2]


def test_resampled_rows_agree_with_gaussian_ones():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((20_000, 60)) @ np.linalg.cholesky(CASE[0]).T
    real = simulate(*CASE, 150, FixedRatio(0.3), rows=rows)
    drawn = simulate(*CASE, 150, FixedRatio(0.3), seed=1)
    joint = math.hypot(real.standard_error, drawn.standard_error)
    assert abs(real.excess_risk - drawn.excess_risk) < 4 * joint


def test_reconstruction_trains_on_rows_that_hide_the_target():
    drawn = simulate(
        *CASE, 600, FixedRatio(0.5), objective="reconstruction", num_sets=200
    )
    ours = excess_risk(*CASE, 600, FixedRatio(0.5), objective="reconstruction")
    assert abs(ours - drawn.excess_risk) < 4 * drawn.standard_error + 0.02 * ours


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_sets": 1}, "num_sets must be at least 2"),
        ({"masks_per_row": 0.5}, "masks_per_row must be a whole number"),
        (
            {"rows": np.ones((5, 3))},
            "rows must be finite numbers (M, 60), got shape (5, 3)",
        ),
    ],
)
def test_bad_input_is_one_line(change, message):
    with pytest.raises(ValueError) as raised:
        simulate(*CASE, 10, FixedRatio(0.3), **change)
    assert message in str(raised.value)
