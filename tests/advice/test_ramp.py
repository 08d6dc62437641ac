"""The best ramp is at least as good as the best fixed ratio, which is a ramp too."""

import math

import numpy as np

from r2mae.advice.candidates import FIXED_RATIOS, CandidateRisks
from r2mae.advice.ramp import best_ramps, linear_schedule
from r2mae.advice.scenario import Scenario
from r2mae.law import FixedRatio
from tests.advice.problems import small_problem

LAWS = [FixedRatio(float(ratio)) for ratio in FIXED_RATIOS]


def test_a_ramp_gains_over_fixed_ratios_at_finite_times_alone():
    risks = CandidateRisks(small_problem(), LAWS, [Scenario()], "downstream")
    choices = best_ramps([risks], LAWS, [4.0, 32.0, math.inf], "downstream")
    assert [choice.train_time for choice in choices] == [4.0, 32.0]
    for choice in choices:
        assert choice.gain >= -1e-9
        low, high = choice.gain_band
        assert low <= choice.gain <= high
        scenario = Scenario(train_time=choice.train_time)
        table = risks.targets.table(LAWS, [scenario], "downstream")[:, 0]
        assert choice.best_constant == LAWS[int(np.argmin(table))]
        start, schedule = linear_schedule(choice)
        assert start == FixedRatio(choice.start)
        assert schedule.to == FixedRatio(choice.end)
