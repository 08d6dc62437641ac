"""What seeing the mask is worth in the linear world: one coefficient vector a ratio, against one for all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from r2mae.law import FixedRatio, MaskLaw, RatioDistribution
from r2mae.theory.prediction import Objective, predict
from r2mae.theory.problem import Problem


@dataclass(frozen=True)
class MaskAware:
    """Excess risks averaged over the test ratios; gain = 1 - aware / shared, a share of the shared model's risk."""

    shared: float
    aware: float
    gain: float


def mask_aware(
    problem: Problem,
    num_rows: float,
    law: RatioDistribution | MaskLaw,
    *,
    test_mask_ratios: Sequence[float],
    ridge: float = 0.0,
    masks_per_row: float = math.inf,
    objective: Objective = "downstream",
    train_time: float = math.inf,
    levels: int = 8,
) -> MaskAware:
    """A vector b(p) for each level of the law, used at the test ratio that is nearest; against one shared vector.

    With fresh masks at every visit each vector sees every row; with one mask a row each sees its own class alone,
    num_rows / levels of them. A network lies between: it sees the mask and shares what it learns.
    Source: docs/theory.md, "Seeing the mask". Raises: ValueError for input that breaks a rule.
    """
    table = law.table() if isinstance(law, MaskLaw) else law.levels(levels)
    shared, aware = [], []
    for test_ratio in test_mask_ratios:
        level = float(table[np.abs(table - test_ratio).argmin()])
        rows = (
            num_rows if masks_per_row == math.inf else max(num_rows / len(table), 1.0)
        )
        both = [
            predict(
                problem,
                count,
                one,
                test_mask_ratio=test_ratio,
                ridge=ridge,
                masks_per_row=masks_per_row,
                objective=objective,
                train_time=train_time,
            ).excess_risk
            for count, one in ((num_rows, law), (rows, FixedRatio(level)))
        ]
        shared.append(both[0])
        aware.append(both[1])
    before, after = float(np.mean(shared)), float(np.mean(aware))
    return MaskAware(before, after, 1 - after / before)
