"""The test risk of a mask-ratio law: `excess_risk` for the number, `predict` for its parts."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from r2mae.law import MaskLaw, RatioDistribution
from r2mae.theory.basis import Array
from r2mae.theory.equivalent import (
    Resolvent,
    RowClasses,
    mean_estimator,
    pair_moments,
    solve_resolvent,
)
from r2mae.theory.flow import flow_nodes
from r2mae.theory.problem import Floats, Problem, Spectrum, build_problem

Objective = Literal["downstream", "reconstruction"]
_PEAK = 1e-9


@dataclass(frozen=True)
class Prediction:
    """Excess test risk and its parts; risks in squared units of the response.

    excess_risk: E (y - xm'b_hat)^2 - noise_variance; bias: that of the mean estimator; variance: the rest.
    degrees_of_freedom: trace of the fit's hat matrix, None where training was stopped early.
    num_rows: rows that train; for reconstruction with one mask a row, those that hide the target.
    """

    excess_risk: float
    bias: float
    variance: float
    degrees_of_freedom: float | None
    num_rows: float
    num_features: int


@dataclass(frozen=True)
class _Estimator:
    """sum_j amounts[j] x inv(H + penalty_j) (1/N) X'y: one term for ridge, several for early stopping."""

    classes: RowClasses
    num_rows: float
    terms: list[tuple[complex, Resolvent, Array]]  # amount, resolvent, its mean


def excess_risk(
    covariance: ArrayLike | Spectrum,
    coefficients: ArrayLike,
    noise_variance: float,
    num_rows: float,
    law: RatioDistribution | MaskLaw,
    *,
    test_mask_ratio: float = 0.0,
    ridge: float = 0.0,
    leading_factors: int = 0,
    masks_per_row: float = 1,
    objective: Objective = "downstream",
    train_time: float = math.inf,
    nodes: int | None = None,
    tokens: ArrayLike | None = None,
) -> float:
    """Predicted E (y - xm'b_hat)^2 - noise_variance of ridge regression trained on randomly masked features.

    covariance: S (d, d), or a `Spectrum`. coefficients: b (d,). num_rows: n. law: a distribution of ratios (continuous,
    by quadrature), or a `MaskLaw`, whose table of levels is taken. test_mask_ratio: q, 0 for full input. ridge: of
    (1/N) sum (y - xm'b)^2 + ridge |b|^2. leading_factors: 1 conditions on the leading principal component.
    masks_per_row: 1, or inf for a fresh mask at every visit. objective: "reconstruction" where the response is itself
    a feature that hides. train_time: learning rate x steps of gradient descent from 0 on half that loss.
    nodes: of the quadrature (default 32). tokens: (d,), features of a token hide together.

    inf at the ridgeless peak N = d with one mask a row. Raises: ValueError for input that breaks a rule.
    Source: docs/theory.md, "The equations".
    """
    problem = build_problem(
        covariance,
        coefficients,
        noise_variance,
        leading_factors=leading_factors,
        tokens=tokens,
    )
    return predict(
        problem,
        num_rows,
        law,
        test_mask_ratio=test_mask_ratio,
        ridge=ridge,
        masks_per_row=masks_per_row,
        objective=objective,
        train_time=train_time,
        nodes=nodes,
    ).excess_risk


def predict(
    problem: Problem,
    num_rows: float,
    law: RatioDistribution | MaskLaw,
    *,
    test_mask_ratio: float = 0.0,
    ridge: float = 0.0,
    masks_per_row: float = 1,
    objective: Objective = "downstream",
    train_time: float = math.inf,
    nodes: int | None = None,
) -> Prediction:
    """`excess_risk` with its parts, for a problem that was built once. Raises: ValueError."""
    check_setting(
        num_rows, test_mask_ratio, ridge, masks_per_row, objective, train_time
    )
    ratios, weights = ratios_and_weights(law, nodes)
    if objective == "reconstruction":  # only rows that hide the target train it
        if masks_per_row == 1:
            num_rows = num_rows * float(weights @ ratios)
        weights = weights * ratios / (weights @ ratios)
    is_peak = (
        abs(num_rows / problem.dim - 1) < _PEAK
        and ridge == 0
        and train_time == math.inf
    )
    if is_peak and masks_per_row == 1:
        return Prediction(
            math.inf, math.nan, math.inf, float(problem.dim), num_rows, problem.dim
        )
    fit = _fit_remasked if masks_per_row == math.inf else _fit
    estimator = fit(
        problem, num_rows, 1 - ratios, weights, ridge, flow_nodes(train_time)
    )
    bias, variance = _test(problem, estimator, 1 - test_mask_ratio)
    dof = None
    if train_time == math.inf:
        resolvent = estimator.terms[0][1]
        shares = (
            estimator.classes.weights / resolvent.kappa
        ) @ estimator.classes.moments
        dof = float(shares @ problem.basis.traces(resolvent.inverse))
    return Prediction(bias + variance, bias, variance, dof, num_rows, problem.dim)


def ratios_and_weights(
    law: RatioDistribution | MaskLaw, nodes: int | None = None
) -> tuple[Floats, Floats]:
    """Ratios (K,) and their weights (K,) of a distribution, or of a law's table at the start of training."""
    if isinstance(law, MaskLaw):
        table = law.table()
        return table, np.full(len(table), 1 / len(table))
    if not isinstance(law, RatioDistribution):
        raise ValueError(
            f"law must be a distribution of ratios or a MaskLaw, got {law!r}."
        )
    return law.quadrature(32 if nodes is None else nodes)


def effective_ratio(
    law: RatioDistribution | MaskLaw, objective: Objective = "downstream"
) -> float:
    """p*: the one fixed ratio that a law acts like in the linear model, where every visit draws a fresh mask.

    Source: docs/theory.md, "A fresh mask every epoch".
    """
    ratios, weights = ratios_and_weights(law)
    if objective == "reconstruction":
        weights = weights * ratios / (weights @ ratios)
    return float(1 - weights @ (1 - ratios) ** 2 / (weights @ (1 - ratios)))


def check_setting(
    num_rows: float,
    test_mask_ratio: float,
    ridge: float,
    masks_per_row: float,
    objective: str,
    train_time: float,
) -> None:
    """Raise ValueError for the first number that breaks its rule."""
    rules = (
        ("num_rows", num_rows, "be finite and at least 1", 1 <= num_rows < math.inf),
        ("test_mask_ratio", test_mask_ratio, "be in [0, 1)", 0 <= test_mask_ratio < 1),
        ("ridge", ridge, "be finite and at least 0", 0 <= ridge < math.inf),
        ("masks_per_row", masks_per_row, "be 1 or inf", masks_per_row in (1, math.inf)),
        (
            "objective",
            objective,
            "be downstream or reconstruction",
            objective in ("downstream", "reconstruction"),
        ),
        ("train_time", train_time, "be positive", train_time > 0),
    )
    for name, value, rule, holds in rules:
        if not holds:
            raise ValueError(f"{name} must {rule}, got {value}.")


def _fit(
    problem: Problem,
    num_rows: float,
    visible: Floats,
    weights: Floats,
    ridge: float,
    nodes: list[tuple[complex, complex]],
) -> _Estimator:
    """One mask a row: a class for each ratio, and for each value of the leading factor where there is one."""
    a, noise = visible, visible * (1 - visible)
    signal, total = problem.signal, problem.signal + problem.noise_variance
    zero = np.zeros_like(a)
    if not problem.has_factor:
        classes = RowClasses(
            weights,
            np.stack([a**2, noise], 1),
            np.stack([a, zero], 1),
            np.full(len(a), total),
        )
    else:
        squares, shares = _squared_normal()
        f2 = np.repeat(squares, len(a))
        a, noise, zero = (np.tile(part, len(squares)) for part in (a, noise, zero))
        classes = RowClasses(
            np.outer(shares, weights).ravel(),
            np.stack([a**2, noise, noise * f2, a**2 * f2], 1),
            np.stack([a, zero, zero, a * f2], 1),
            signal
            - problem.factor_signal
            + f2 * problem.factor_signal
            + problem.noise_variance,
        )
    terms = []
    start = None
    if nodes[0][1] != 0:  # complex shifts are reached from the real axis
        start = solve_resolvent(
            problem.basis, classes, num_rows, ridge + abs(nodes[0][1])
        ).unknowns
    for amount, shift in nodes:
        resolvent = solve_resolvent(
            problem.basis, classes, num_rows, ridge + shift, start=start
        )
        mean = mean_estimator(problem.basis, classes, resolvent, problem.images)
        terms.append((amount, resolvent, mean))
        start = resolvent.unknowns
    return _Estimator(classes, num_rows, terms)


def _fit_remasked(
    problem: Problem,
    num_rows: float,
    visible: Floats,
    weights: Floats,
    ridge: float,
    nodes: list[tuple[complex, complex]],
) -> _Estimator:
    """A fresh mask at every visit: unmasked rows, and the mask noise as a penalty E[a(1-a)] D."""
    first, second = float(weights @ visible), float(weights @ visible**2)
    spread = first - second
    one, total = np.ones(1), problem.signal + problem.noise_variance
    if problem.has_factor:
        squares, shares = _squared_normal()
        zero, ones = np.zeros_like(squares), np.ones_like(squares)
        moments = np.stack([ones, zero, zero, squares], 1)
        responses = (
            problem.signal
            + (squares - 1) * problem.factor_signal
            + problem.noise_variance
        )
        classes = RowClasses(shares, moments, moments, responses)
        penalty = spread / second * np.array([0.0, 1, 1, 0])
    else:
        moments = np.array([[1.0, 0.0]])
        classes = RowClasses(one, moments, moments, np.array([total]))
        penalty = spread / second * np.array([0.0, 1])
    terms = []
    start = None
    for amount, shift in nodes:
        resolvent = solve_resolvent(
            problem.basis,
            classes,
            num_rows,
            (ridge + shift) / second,
            penalty=penalty,
            start=start,
        )
        mean = mean_estimator(problem.basis, classes, resolvent, problem.images)
        terms.append((amount * first / second, resolvent, mean))
        start = resolvent.unknowns
    return _Estimator(classes, num_rows, terms)


def _squared_normal() -> tuple[Floats, Floats]:
    """Squares of Gauss-Hermite nodes of a standard normal and their weights; both signs are one class."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    return nodes[4:] ** 2, weights[4:] / weights[4:].sum()


def _test(
    problem: Problem, estimator: _Estimator, visible: float
) -> tuple[float, float]:
    """Bias and variance part of the excess risk at a share of visible features; terms stand for conjugate pairs too."""
    noise = visible * (1 - visible)
    at_test = np.array(
        [visible**2, noise, noise, visible**2]
        if problem.has_factor
        else [visible**2, noise]
    )
    image = (
        problem.images[0] + problem.images[3]
        if problem.has_factor
        else problem.images[0]
    )
    bias, variance = problem.signal, 0.0
    terms = estimator.terms
    for index, (amount, resolvent, mean) in enumerate(terms):
        is_real = len(terms) == 1
        bias -= (1 if is_real else 2) * 2 * visible * (amount * (image @ mean)).real
        for other in terms[index:]:
            twice = 1 if other is terms[index] else 2
            partners = [other] if is_real else [other, _conjugate(other)]
            for coefficient, second, second_mean in partners:
                quadratic, spread = pair_moments(
                    problem.basis,
                    estimator.classes,
                    estimator.num_rows,
                    problem.images,
                    (resolvent, mean),
                    (second, second_mean),
                )
                factor = twice * (1 if is_real else 2) * amount * coefficient
                bias += float((factor * (at_test @ quadratic)).real)
                variance += float((factor * (at_test @ spread)).real)
    return float(bias), variance


def _conjugate(
    term: tuple[complex, Resolvent, Array],
) -> tuple[complex, Resolvent, Array]:
    amount, resolvent, mean = term
    mirrored = Resolvent(
        resolvent.inverse.conj(), resolvent.kappa.conj(), resolvent.unknowns.conj()
    )
    return amount.conjugate(), mirrored, mean.conj()
