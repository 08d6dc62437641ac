"""Risks of laws behave as those of a linear regression do."""

import numpy as np
import pytest

from r2mae.advice.scenario import Scenario, Uncertainty
from r2mae.law import FixedRatio, UniformRatio
from tests.advice.problems import small_problem


def test_scenarios_are_all_combinations():
    uncertainty = Uncertainty((0.5, 2.0), (0.0, 0.3), (1.0,), (4.0, 8.0, 16.0))
    scenarios = uncertainty.scenarios()
    assert len(scenarios) == len(set(scenarios)) == 12
    assert Scenario(2.0, 1.0, 0.3, 16.0) in scenarios


@pytest.mark.parametrize("objective", ["downstream", "reconstruction"])
def test_more_samples_and_less_noise_lower_the_risk(objective):
    problem = small_problem()
    laws = [FixedRatio(0.3), UniformRatio(0.2, 0.8)]
    conditions = [Scenario(), Scenario(sample_factor=4.0), Scenario(noise_factor=2.0)]
    usual, many, noisy = problem.table(laws, conditions, objective).T
    assert (many < usual).all()
    assert (noisy > usual).all()


def test_phases_of_one_ratio_are_that_ratio():
    problem = small_problem()
    scenario = Scenario(train_time=8.0)
    visible = np.array([[0.7], [0.4]])
    one = problem.excess(visible, visible**2, scenario)
    phases = np.repeat(visible, 5, axis=1)
    assert np.allclose(problem.excess(phases, phases**2, scenario), one, rtol=1e-5)
    assert one[0] != pytest.approx(one[1])


def test_a_problem_is_solved_once_for_each_pair_of_factors():
    problem = small_problem()
    assert problem.risks(1.0, 2.0) is problem.risks(1.0, 2.0)
    assert problem.risks(1.0, 2.0) is not problem.risks(2.0, 1.0)
