"""The best linear schedule between two fixed ratios, at each finite training time.

L: ramps  P: phases of a ramp
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from r2mae.advice.candidates import FIXED_RATIOS, CandidateRisks
from r2mae.advice.features import Floats
from r2mae.advice.half_samples import band
from r2mae.advice.scenario import Scenario
from r2mae.law import FixedRatio, LinearSchedule, RatioDistribution
from r2mae.theory import Objective

_PHASES = 8  # of constant ratio, which approximate a ramp
# fmt: off
_ENDS = (0.02, 0.04, 0.06, 0.1, 0.14, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.96)
# fmt: on


@dataclass(frozen=True)
class ScheduleChoice:
    """The best linear schedule between two fixed ratios at one training time.

    gain: 1 - its excess risk / that of the best constant law.
    """

    train_time: float
    start: float
    end: float
    best_constant: RatioDistribution
    gain: float
    gain_band: tuple[float, float]


def best_ramps(
    results: Sequence[CandidateRisks],
    laws: Sequence[RatioDistribution],
    train_times: Sequence[float],
    objective: Objective,
) -> list[ScheduleChoice]:
    """The best ramp at each finite training time, for full input at test time.

    results: of the full sample, then of half-samples. A training time of inf is left
    out: at convergence the last ratio alone decides.
    """
    return [
        _best_ramp(results, laws, Scenario(train_time=time), objective)
        for time in train_times
        if not math.isinf(time)
    ]


def _best_ramp(
    results: Sequence[CandidateRisks],
    laws: Sequence[RatioDistribution],
    scenario: Scenario,
    objective: Objective,
) -> ScheduleChoice:
    pairs, ratios = _ramps()  # constant ones too: a ramp may stay where it is
    # A fixed ratio has the same moments for both objectives, so none are reweighted.
    ramped = [
        result.targets.excess(1 - ratios, (1 - ratios) ** 2, scenario)
        for result in results
    ]
    constant = [
        result.targets.table(laws, [scenario], objective)[:, 0] for result in results
    ]
    best = int(ramped[0].argmin())
    gains = [
        float(1 - ramp_risks[best] / constant_risks.min())
        for ramp_risks, constant_risks in zip(ramped, constant, strict=True)
    ]
    return ScheduleChoice(
        scenario.train_time,
        float(pairs[best, 0]),
        float(pairs[best, 1]),
        laws[int(constant[0].argmin())],
        gains[0],
        band(gains[0], gains[1:] or gains, limits=(0.0, 1.0)),
    )


def _ramps() -> tuple[Floats, Floats]:
    """First and last ratio (L, 2) and the ratio in each phase (L, P)."""
    constant = [(ratio, ratio) for ratio in FIXED_RATIOS]
    pairs = np.array([*constant, *itertools.product(_ENDS, _ENDS)])
    progress = (np.arange(_PHASES) + 0.5) / _PHASES
    return pairs, pairs[:, :1] * (1 - progress) + pairs[:, 1:] * progress


def touches_edge(choice: ScheduleChoice) -> bool:
    """Whether the ramp starts or ends at the lowest or the highest ratio tried."""
    return bool({choice.start, choice.end} & {_ENDS[0], _ENDS[-1]})


def linear_schedule(choice: ScheduleChoice) -> tuple[FixedRatio, LinearSchedule]:
    """The ramp as a recipe's mask.ratio and mask.schedule."""
    return FixedRatio(choice.start), LinearSchedule(FixedRatio(choice.end))
