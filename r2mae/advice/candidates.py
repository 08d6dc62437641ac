"""The laws that are compared, and their risks and regrets.

L: laws  S: scenarios
"""

from collections.abc import Sequence

import numpy as np

from r2mae.advice.scenario import Scenario, TargetRisks
from r2mae.law import FixedRatio, RatioDistribution, UniformRatio
from r2mae.theory import Objective

GRID_STEP = 0.02
FIXED_RATIOS = np.round(np.arange(0.02, 0.961, GRID_STEP), 2)
_UNIFORM_ENDS = np.round(np.arange(0.05, 0.951, 0.1), 2)


def candidate_laws(judged: Sequence[RatioDistribution]) -> list[RatioDistribution]:
    """Fixed ratios first, then uniform laws, those to judge last."""
    fixed = [FixedRatio(float(ratio)) for ratio in FIXED_RATIOS]
    uniform = [
        UniformRatio(float(low), float(high))
        for low in _UNIFORM_ENDS
        for high in _UNIFORM_ENDS
        if low < high
    ]
    return [*fixed, *uniform, *judged]


class CandidateRisks:
    """Risks of all candidates under one covariance.

    Regret: excess risk over that of the fixed ratio that is best in the same scenario,
    minus 1.

    expected, worst: mean and maximum of the regret over scenarios, (L,).
    nominal: excess risk at the default `Scenario`, (L,).
    excess: regret at the default `Scenario`, (L,).
    masking_gain: 1 - excess risk of the best fixed ratio / that without masks.
    """

    def __init__(
        self,
        targets: TargetRisks,
        laws: Sequence[RatioDistribution],
        scenarios: Sequence[Scenario],
        objective: Objective | Sequence[Objective],
    ) -> None:
        self.targets = targets
        table = targets.table(laws, scenarios, objective)
        # Regret is relative to fixed ratios alone, as defined above.
        best = table[: len(FIXED_RATIOS)].min(axis=0)
        regret = table / best - 1
        self.expected, self.worst = regret.mean(axis=1), regret.max(axis=1)
        self.nominal = targets.table(laws, [Scenario()], objective)[:, 0]
        fixed = self.nominal[: len(FIXED_RATIOS)]
        self.excess = self.nominal / fixed.min() - 1
        self.best_fixed = float(FIXED_RATIOS[fixed.argmin()])
        self.masking_gain = float(1 - fixed.min() / targets.unmasked_excess())


def is_at_edge(law: RatioDistribution) -> bool:
    """Whether a law is the lowest or the highest fixed ratio tried."""
    return isinstance(law, FixedRatio) and law.ratio in FIXED_RATIOS[[0, -1]]
