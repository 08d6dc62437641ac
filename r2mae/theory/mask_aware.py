"""The value of seeing the mask: one coefficient vector per ratio, or one for all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np

from r2mae.law import FixedRatio, MaskLaw, RatioDistribution
from r2mae.theory.prediction import predict
from r2mae.theory.problem import Problem
from r2mae.theory.setting import Options


@dataclass(frozen=True)
class MaskAware:
    """Excess risks averaged over test ratios.

    shared: of one coefficient vector for all ratios.
    aware: of one coefficient vector per ratio.
    gain: 1 - aware / shared.
    """

    shared: float
    aware: float
    gain: float


def mask_aware(
    problem: Problem,
    num_rows: float,
    law: RatioDistribution | MaskLaw,
    *,
    test_mask_ratios: Sequence[float],
    levels: int = 8,
    **options: Unpack[Options],
) -> MaskAware:
    """Compare a vector b(p) for each level of a law with one vector for all levels.

    At a test ratio the vector of the nearest level is used. With fresh masks each vector
    is trained on every row; with one mask per row only on the rows of its own level,
    num_rows / levels of them. A network lies between the two: it sees the mask, and its
    weights are shared.

    levels: of a distribution; a `MaskLaw` has its own.
    options: fields of `Setting`, except that masks_per_row is inf by default.

    Raises: ValueError for a value that breaks its rule.
    Source: docs/theory.md, "Seeing the mask".
    """
    options.setdefault("masks_per_row", math.inf)
    table = law.table() if isinstance(law, MaskLaw) else law.levels(levels)
    rows_per_level = num_rows
    if options["masks_per_row"] != math.inf:
        rows_per_level = max(num_rows / len(table), 1.0)
    shared, aware = [], []
    for test_ratio in test_mask_ratios:
        options["test_mask_ratio"] = test_ratio
        closest = np.abs(table - test_ratio).argmin()
        nearest = FixedRatio(float(table[closest]))
        shared.append(predict(problem, num_rows, law, **options).excess_risk)
        aware.append(predict(problem, rows_per_level, nearest, **options).excess_risk)
    shared_risk, aware_risk = float(np.mean(shared)), float(np.mean(aware))
    return MaskAware(shared_risk, aware_risk, 1 - aware_risk / shared_risk)
