"""Predicted test risk of a mask-ratio law: `excess_risk`, and `predict` for parts."""

import math
from dataclasses import dataclass
from typing import Unpack

from numpy.typing import ArrayLike

from r2mae.law import MaskLaw, RatioDistribution
from r2mae.theory.estimator import fit_fresh_masks, fit_one_mask
from r2mae.theory.problem import Problem, Spectrum, build_problem
from r2mae.theory.setting import (
    Options,
    Setting,
    ratios_and_weights,
    training_weights,
)

_PEAK = 1e-9  # relative distance of N and d that counts as equality


@dataclass(frozen=True)
class Prediction:
    """Excess test risk and its parts; risks in squared units of the response.

    excess_risk: E (y - xm'b_hat)^2 - noise_variance, the sum of bias and variance.
    bias: excess risk of the mean estimator.
    variance: the rest.
    degrees_of_freedom: trace of the hat matrix; None where training is stopped early.
    num_rows: rows that train; for reconstruction with one mask per row, those that hide
        the target.
    """

    excess_risk: float
    bias: float
    variance: float
    degrees_of_freedom: float | None
    num_rows: float
    num_features: int


def excess_risk(
    covariance: ArrayLike | Spectrum,
    coefficients: ArrayLike,
    noise_variance: float,
    num_rows: float,
    law: RatioDistribution | MaskLaw,
    *,
    leading_factors: int = 0,
    tokens: ArrayLike | None = None,
    nodes: int | None = None,
    **options: Unpack[Options],
) -> float:
    """Predicted excess test risk of ridge regression on randomly masked features.

    covariance: of the features, S (d, d), or a `Spectrum`.
    coefficients: b (d,) of the response y = x'b + noise.
    num_rows: samples of the training set, n.
    law: a distribution of ratios, integrated by quadrature, or a `MaskLaw`, whose
        levels are used.
    leading_factors: 1 conditions on the leading principal component, for a covariance
        with one dominant eigenvalue.
    tokens: labels (d,); features with the same label are hidden together.
    nodes: of the quadrature, default 32.
    options: fields of `Setting`: test_mask_ratio, ridge, masks_per_row, objective and
        train_time.

    The result is E (y - xm'b_hat)^2 - noise_variance. It is inf at the double-descent
    peak, N = d without ridge and with one mask per row.

    Raises: ValueError for a value that breaks its rule.
    Source: docs/theory.md, "The equations".
    """
    problem = build_problem(
        covariance,
        coefficients,
        noise_variance,
        leading_factors=leading_factors,
        tokens=tokens,
    )
    return predict(problem, num_rows, law, nodes=nodes, **options).excess_risk


def predict(
    problem: Problem,
    num_rows: float,
    law: RatioDistribution | MaskLaw,
    *,
    nodes: int | None = None,
    **options: Unpack[Options],
) -> Prediction:
    """`excess_risk` and its parts, for a problem from `build_problem`.

    Raises: ValueError for a value that breaks its rule.
    """
    setting = Setting(num_rows, **options)
    ratios, weights = ratios_and_weights(law, nodes)
    if setting.objective == "reconstruction" and not setting.has_fresh_masks:
        num_rows = num_rows * float(weights @ ratios)  # rows that hide the target
    weights = training_weights(ratios, weights, setting.objective)
    is_ridgeless = setting.ridge == 0 and setting.trains_to_convergence
    is_peak = is_ridgeless and abs(num_rows / problem.dim - 1) < _PEAK
    if is_peak and not setting.has_fresh_masks:
        dof = float(problem.dim)
        return Prediction(math.inf, math.nan, math.inf, dof, num_rows, problem.dim)
    fit = fit_fresh_masks if setting.has_fresh_masks else fit_one_mask
    estimator = fit(
        problem, num_rows, 1 - ratios, weights, setting.ridge, setting.train_time
    )
    bias, variance = estimator.test(1 - setting.test_mask_ratio)
    return Prediction(
        bias + variance,
        bias,
        variance,
        estimator.degrees_of_freedom() if setting.trains_to_convergence else None,
        num_rows,
        problem.dim,
    )
