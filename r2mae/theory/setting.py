"""How a masked regression is trained and tested, and what a mask-ratio law means for it.

K: ratios of a law. The visible share of a row is a = 1 - ratio.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np

from r2mae.law import MaskLaw, RatioDistribution
from r2mae.theory.basis import Floats

Objective = Literal["downstream", "reconstruction"]
_QUADRATURE_NODES = 32


class Options(TypedDict, total=False):
    """Keyword arguments of `excess_risk`, `predict`, `mask_aware` and `simulate`.

    They are the fields of `Setting` after num_rows, which documents them.
    """

    test_mask_ratio: float
    ridge: float
    masks_per_row: float
    objective: Objective
    train_time: float


@dataclass(frozen=True)
class Setting:
    """Size of the training set, training and test of one masked regression.

    num_rows: samples n of the training set.
    test_mask_ratio: share of features hidden at test time, q; 0 for full input.
    ridge: r in the loss (1/N) sum (y - xm'b)^2 + r |b|^2.
    masks_per_row: 1 for one fixed mask for each row, inf for a fresh mask at each visit.
    objective: "downstream" for a label; "reconstruction" where the response is itself
        a feature, and only rows that hide it train.
    train_time: learning rate x steps of gradient descent from 0 on half that loss;
        inf trains to convergence.

    Raises: ValueError for the first value that breaks its rule.
    """

    num_rows: float
    test_mask_ratio: float = 0.0
    ridge: float = 0.0
    masks_per_row: float = 1
    objective: Objective = "downstream"
    train_time: float = math.inf

    def __post_init__(self) -> None:
        rules = (
            ("num_rows", "be finite and at least 1", 1 <= self.num_rows < math.inf),
            ("test_mask_ratio", "be in [0, 1)", 0 <= self.test_mask_ratio < 1),
            ("ridge", "be finite and at least 0", 0 <= self.ridge < math.inf),
            ("masks_per_row", "be 1 or inf", self.masks_per_row in (1, math.inf)),
            (
                "objective",
                "be downstream or reconstruction",
                self.objective in ("downstream", "reconstruction"),
            ),
            ("train_time", "be positive", self.train_time > 0),
        )
        for name, rule, holds in rules:
            if not holds:
                raise ValueError(f"{name} must {rule}, got {getattr(self, name)}.")

    @property
    def has_fresh_masks(self) -> bool:
        """Whether every visit of a row draws a new mask."""
        return self.masks_per_row == math.inf

    @property
    def trains_to_convergence(self) -> bool:
        """Whether training is not stopped early."""
        return self.train_time == math.inf


def ratios_and_weights(
    law: RatioDistribution | MaskLaw, nodes: int | None = None
) -> tuple[Floats, Floats]:
    """Ratios (K,) and weights (K,) that sum to 1.

    A distribution gives a quadrature rule of `nodes` nodes (default 32), a `MaskLaw`
    its levels at the start of training.

    Raises: ValueError for anything else.
    """
    if isinstance(law, MaskLaw):
        table = law.table()
        return table, np.full(len(table), 1 / len(table))
    if not isinstance(law, RatioDistribution):
        raise ValueError(
            f"law must be a distribution of ratios or a MaskLaw, got {law!r}."
        )
    return law.quadrature(_QUADRATURE_NODES if nodes is None else nodes)


def training_weights(ratios: Floats, weights: Floats, objective: str) -> Floats:
    """Weights (K,) of ratios among the rows that train, from those among all rows (K,).

    A row trains reconstruction only where it hides the target, which has probability
    `ratio`: high ratios train more often.
    """
    if objective != "reconstruction":
        return weights
    return np.asarray(weights * ratios / (weights @ ratios))


def visible_moments(
    law: RatioDistribution | MaskLaw, objective: Objective
) -> tuple[float, float]:
    """E[a] and E[a^2] of the visible share a, over the rows that train."""
    ratios, weights = ratios_and_weights(law)
    weights = training_weights(ratios, weights, objective)
    return float(weights @ (1 - ratios)), float(weights @ (1 - ratios) ** 2)


def effective_ratio(
    law: RatioDistribution | MaskLaw, objective: Objective = "downstream"
) -> float:
    """The fixed ratio p* = 1 - E[a^2] / E[a] that is equivalent to a law.

    It holds in the linear model with fresh masks, trained to convergence.

    Source: docs/theory.md, "A fresh mask every epoch".
    """
    first, second = visible_moments(law, objective)
    return 1 - second / first
