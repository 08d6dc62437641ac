"""What the linear theory predicts of one run: the risk over the mask ratio of the test input.

Shapes: R ratios.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from r2mae.advice.features import Floats, shrink, whiten_tokens
from r2mae.advice.scenario import Scenario, TargetRisks, objective_of
from r2mae.advice.solution import draw_targets
from r2mae.errors import InputError
from r2mae.law import FixedRatio, MaskLaw
from r2mae.theory import visible_moments


@dataclass(frozen=True)
class RatioRisks:
    """Predicted squared error of hidden tokens, in units of their variance.

    ratios: (R,) of the test input, rising.
    one_map: (R,) of one linear map for all ratios, trained under the run's law.
    own_maps: (R,) of a map for each ratio, as for a model that sees its mask.
    num_rows, num_features: N and d.
    """

    ratios: list[float]
    one_map: list[float]
    own_maps: list[float]
    num_rows: int
    num_features: int


def predict_over_ratios(
    tokens: ArrayLike,
    law: MaskLaw,
    ratios: Sequence[float],
    *,
    num_rows: int,
    seed: int = 0,
) -> RatioRisks:
    """Predict from token values (n, T, P) or (n, d), for training to convergence.

    num_rows: samples of the training set.

    Raises: InputError for a law with a schedule, or data that breaks a rule.
    Source: docs/theory.md, "From data" and "Seeing the mask".
    """
    if law.schedule is not None:
        raise InputError(
            "mask.schedule must be null for the theory, which knows constant laws, got "
            "one. Leave out --theory."
        )
    features = whiten_tokens(tokens)
    targets = draw_targets(features, rng=np.random.default_rng(seed))
    covariance = shrink(features).covariance
    risks = TargetRisks(covariance, features, num_rows, targets)
    noise = float(np.mean([risk.problem.noise_variance for risk in risks.risks(1, 1)]))
    trained = np.array([visible_moments(law.ratio, objective_of(law))])

    def risk(moments: Floats, ratio: float) -> float:
        at_test = Scenario(test_ratio=ratio)
        return float(risks.excess(moments[:, :1], moments[:, 1:], at_test)[0]) + noise

    fixed = [np.array([visible_moments(FixedRatio(r), "downstream")]) for r in ratios]
    return RatioRisks(
        ratios=list(ratios),
        one_map=[risk(trained, ratio) for ratio in ratios],
        own_maps=[risk(*each) for each in zip(fixed, ratios, strict=True)],
        num_rows=num_rows,
        num_features=int(features.values.shape[1]),
    )
