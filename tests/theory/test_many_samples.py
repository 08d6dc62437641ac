"""docs/theory.md, "Many more samples than features"."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from r2mae.law import FixedRatio
from r2mae.theory import build_covariance, excess_risk, regress_on_others


@pytest.mark.parametrize(
    ("name", "target"),
    [("ar1:0.9", 20), ("blocks:8:0.6", 0), ("equicorrelated:0.5", 0)],
)
@pytest.mark.parametrize("factor", [400, 4000])
def test_the_best_ratio_falls_as_one_over_n(name, target, factor):
    covariance, b, noise = regress_on_others(build_covariance(name, 41), target)
    rows = factor * len(b)

    def risk(ratio):
        law = FixedRatio(ratio)
        return excess_risk(covariance, b, noise, rows, law, masks_per_row=math.inf)

    best = minimize_scalar(risk, bounds=(1e-7, 0.5), options={"xatol": 1e-10}).x
    values, vectors = np.linalg.eigh(covariance)
    weights = (vectors.T @ b) ** 2
    bias = (weights * (values - 1) ** 2 / values).sum()
    variance = (1 / values).sum() - len(values)
    penalty = noise * variance / (rows * bias)
    assert best == pytest.approx(penalty / (1 + penalty), rel=0.02)
    saved = 1 - risk(best) / risk(1e-9)
    assert saved == pytest.approx(penalty * variance / len(values), rel=0.05)
