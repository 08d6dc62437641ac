import math
import warnings

import numpy as np
import pytest

from r2mae.law import FixedRatio, UniformRatio
from r2mae.theory import build_covariance, excess_risk

COVARIANCES = {
    "identity": np.eye(12),
    "nearly singular": build_covariance("ar1:0.99", 12),
    "of rank one": np.ones((12, 12)),
    "of many scales": np.diag(np.logspace(-8, 8, 12)),
}
SETTINGS = (
    {},
    {"ridge": 1e-12},
    {"ridge": 1e6},
    {"train_time": 1e-6},
    {"train_time": 1e6},
    {"masks_per_row": math.inf},
    {"objective": "reconstruction"},
    {"leading_factors": 1},
)


@pytest.mark.parametrize("name", COVARIANCES)
def test_there_is_an_answer_without_a_warning_everywhere(name):
    covariance, b = COVARIANCES[name], np.ones(12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rows in (1, 11, 12, 13, 1e7):
            for law in (FixedRatio(1e-6), FixedRatio(0.999), UniformRatio(0, 1)):
                for options in SETTINGS:
                    risk = excess_risk(covariance, b, 0.1, rows, law, **options)
                    assert risk >= -1e-7 * (b @ covariance @ b), (rows, law, options)


@pytest.mark.parametrize("rows", [49, 51])
def test_beside_the_peak_a_small_ridge_changes_little(rows):
    case = (np.eye(50), np.eye(50)[0], 0.1, rows, FixedRatio(0.3))
    assert excess_risk(*case, ridge=1e-9) == pytest.approx(excess_risk(*case), rel=1e-3)
