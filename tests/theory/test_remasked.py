import math

import numpy as np
import pytest

from r2mae.law import FixedRatio, UniformRatio
from r2mae.theory import (
    build_covariance,
    build_problem,
    predict,
    regress_on_others,
    visible_moments,
)
from r2mae.theory.remasked import RemaskedRisk

CASE = regress_on_others(build_covariance("ar1:0.9", 121), 60)


@pytest.mark.parametrize("rows", [40, 120, 2000])
@pytest.mark.parametrize("moment", [0.5, 16.0, math.inf])
def test_one_set_of_resolvents_answers_as_the_equations_do(rows, moment):
    problem = build_problem(*CASE)
    risk = RemaskedRisk(problem, rows)
    for law in (FixedRatio(0.05), FixedRatio(0.9), UniformRatio(0.1, 0.5)):
        for test_ratio in (0.0, 0.5):
            options = {
                "masks_per_row": math.inf,
                "train_time": moment,
                "test_mask_ratio": test_ratio,
            }
            exact = predict(
                problem, rows, law, objective="reconstruction", **options
            ).excess_risk
            first, second = visible_moments(law, "reconstruction")
            ours = risk.of(
                risk.filter(np.array([first]), np.array([second]), np.array([moment])),
                test_ratio,
            )
            assert float(ours) == pytest.approx(exact, rel=1e-4)


def test_a_schedule_agrees_with_gradient_descent_through_its_phases():
    covariance, b, noise = CASE
    rows, ratios, moment, rng = 300, (0.7, 0.2), 6.0, np.random.default_rng(0)
    risk = RemaskedRisk(build_problem(*CASE), rows)
    visible = 1 - np.array(ratios)
    ours = float(risk.of(risk.filter(visible, visible**2, np.full(2, moment)), 0.0))
    root, drawn = np.linalg.cholesky(covariance), []
    for _ in range(60):
        x = rng.standard_normal((rows, len(b))) @ root.T
        y = x @ b + math.sqrt(noise) * rng.standard_normal(rows)
        second, cross, fit = x.T @ x / rows, x.T @ y / rows, np.zeros(len(b))
        for a in visible:
            mixed = a**2 * second + a * (1 - a) * np.diag(np.diag(second))
            for _ in range(1000):
                fit = fit + moment / 1000 * (a * cross - mixed @ fit)
        drawn.append((fit - b) @ covariance @ (fit - b))
    error = np.std(drawn) / math.sqrt(len(drawn))
    assert abs(ours - np.mean(drawn)) < 4 * error + 0.01 * ours
    constant = risk.filter(visible[1:], visible[1:] ** 2, np.array([2 * moment]))
    assert abs(float(risk.of(constant, 0.0)) / ours - 1) > 0.01  # the schedule matters


def test_unequal_variances_are_refused():
    problem = build_problem(np.diag([1.0, 2.0]), [1, 0], 0.1)
    with pytest.raises(ValueError, match="variances must be equal"):
        RemaskedRisk(problem, 10)
