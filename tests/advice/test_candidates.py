"""Regret is measured against the best fixed ratio of the same scenario."""

import numpy as np
import pytest

from r2mae.advice.candidates import FIXED_RATIOS, CandidateRisks, candidate_laws
from r2mae.advice.scenario import Scenario
from r2mae.law import FixedRatio, UniformRatio
from tests.advice.problems import small_problem

OWN = UniformRatio(0.6, 0.9)


def test_fixed_ratios_come_first_and_laws_to_judge_last():
    laws = candidate_laws([OWN])
    assert laws[: len(FIXED_RATIOS)] == [FixedRatio(float(r)) for r in FIXED_RATIOS]
    assert laws[-1] is OWN
    uniform = laws[len(FIXED_RATIOS) : -1]
    assert len(uniform) == 45  # pairs of 10 ends
    assert all(law.low < law.high for law in uniform)


def test_the_best_fixed_ratio_has_no_regret():
    laws = candidate_laws([OWN])
    scenarios = [Scenario(), Scenario(sample_factor=0.25)]
    problem = small_problem()
    risks = CandidateRisks(problem, laws, scenarios, "downstream")
    assert (risks.worst >= risks.expected).all()
    single = CandidateRisks(problem, laws, scenarios[:1], "downstream")
    fixed = single.expected[: len(FIXED_RATIOS)]
    assert fixed.min() == pytest.approx(0.0)
    assert FIXED_RATIOS[fixed.argmin()] == single.best_fixed
    assert single.excess == pytest.approx(single.expected)
    assert np.allclose(
        single.expected, single.nominal / single.nominal[: len(fixed)].min() - 1
    )
