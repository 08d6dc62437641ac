"""The same risk by Monte Carlo: data sets are drawn, masked, fitted; their test risk is then exact, given the fit."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from r2mae.law import MaskLaw, RatioDistribution
from r2mae.theory.prediction import Objective, check_setting, ratios_and_weights
from r2mae.theory.problem import Floats, block_diagonal, build_problem, check_covariance

_STEPS_PER_TIME = 20.0  # of gradient descent, in units of 1 / the greatest eigenvalue


@dataclass(frozen=True)
class Simulation:
    """Mean excess test risk over data sets, and the standard error of that mean."""

    excess_risk: float
    standard_error: float
    num_sets: int


def simulate(
    covariance: ArrayLike,
    coefficients: ArrayLike,
    noise_variance: float,
    num_rows: int,
    law: RatioDistribution | MaskLaw,
    *,
    test_mask_ratio: float = 0.0,
    ridge: float = 0.0,
    masks_per_row: float = 1,
    objective: Objective = "downstream",
    train_time: float = math.inf,
    tokens: ArrayLike | None = None,
    rows: ArrayLike | None = None,
    num_sets: int = 100,
    seed: int = 0,
) -> Simulation:
    """Arguments as in `excess_risk`; masks_per_row may be any whole number, an epoch each.

    rows: real samples (M, d), drawn with replacement instead of Gaussian ones; covariance should be theirs.
    num_sets: data sets, at least 2. Gradient descent takes train_time in steps of at most 1/20 of the stable one.
    Raises: ValueError for input that breaks a rule.
    """
    epochs = masks_per_row
    if epochs != math.inf and (epochs != int(epochs) or epochs < 1):
        raise ValueError(
            f"masks_per_row must be a whole number from 1, or inf, got {masks_per_row}."
        )
    check_setting(num_rows, test_mask_ratio, ridge, 1, objective, train_time)
    if num_sets < 2 or num_rows != int(num_rows):
        raise ValueError(
            f"num_sets must be at least 2 and num_rows whole, got {num_sets} and {num_rows}."
        )
    build_problem(covariance, coefficients, noise_variance, tokens=tokens)
    matrix, b = check_covariance(covariance), np.asarray(coefficients, dtype=np.float64)
    real = None if rows is None else np.asarray(rows, dtype=np.float64)
    if real is not None and (
        real.ndim != 2 or real.shape[1] != len(b) or not np.isfinite(real).all()
    ):
        raise ValueError(
            f"rows must be finite numbers (M, {len(b)}), got shape {real.shape}."
        )
    values, vectors = np.linalg.eigh(matrix)
    root = vectors * np.sqrt(np.maximum(values, 0))
    visible = 1 - test_mask_ratio
    at_test = visible**2 * matrix + visible * (1 - visible) * block_diagonal(
        matrix, tokens
    )
    _, units = np.unique(
        np.arange(len(b)) if tokens is None else np.asarray(tokens), return_inverse=True
    )
    rng = np.random.default_rng(seed)
    risks = []
    for _ in range(num_sets):
        if real is None:
            x = rng.standard_normal((num_rows, len(b))) @ root.T
        else:
            x = real[rng.integers(len(real), size=num_rows)]
        y = x @ b + math.sqrt(noise_variance) * rng.standard_normal(num_rows)
        if epochs == math.inf:
            second, cross, count = _averaged(x, y, law, objective, tokens)
        else:
            second, cross, count = _masked(
                x, y, law, objective, int(epochs), units, rng
            )
        fit = _fit(second, cross, ridge, train_time, count)
        risks.append(
            fit @ at_test @ fit - 2 * visible * fit @ matrix @ b + b @ matrix @ b
        )
    return Simulation(
        float(np.mean(risks)),
        float(np.std(risks, ddof=1) / math.sqrt(num_sets)),
        num_sets,
    )


def _averaged(
    x: Floats,
    y: Floats,
    law: RatioDistribution | MaskLaw,
    objective: str,
    tokens: ArrayLike | None,
) -> tuple[Floats, Floats, int]:
    """Second and cross moment over all masks, exactly."""
    ratios, weights = ratios_and_weights(law)
    if objective == "reconstruction":
        weights = weights * ratios / (weights @ ratios)
    visible = 1 - ratios
    second = x.T @ x / len(x)
    mixed = weights @ visible**2 * second + weights @ (
        visible * ratios
    ) * block_diagonal(second, tokens)
    return mixed, weights @ visible * (x.T @ y) / len(x), len(y) + len(second)


def _masked(
    x: Floats,
    y: Floats,
    law: RatioDistribution | MaskLaw,
    objective: str,
    epochs: int,
    units: NDArray[np.integer[Any]],
    rng: np.random.Generator,
) -> tuple[Floats, Floats, int]:
    """Second and cross moment over drawn masks."""
    second, cross, count = np.zeros((x.shape[1],) * 2), np.zeros(x.shape[1]), 0
    for _ in range(epochs):
        ratios = _draw(law, len(y), rng)
        is_visible = rng.random((len(y), int(units.max()) + 1)) >= ratios[:, None]
        trains = (
            rng.random(len(y)) < ratios
            if objective == "reconstruction"
            else np.ones(len(y), dtype=bool)
        )
        masked = (x * is_visible[:, units])[trains]
        second += masked.T @ masked
        cross += masked.T @ y[trains]
        count += int(trains.sum())
    return second / max(count, 1), cross / max(count, 1), count


def _draw(
    law: RatioDistribution | MaskLaw, count: int, rng: np.random.Generator
) -> Floats:
    if isinstance(law, MaskLaw):
        return rng.choice(law.table(), size=count)
    return law.quantile(rng.random(count))


def _fit(
    second: Floats, cross: Floats, ridge: float, train_time: float, rank: int
) -> Floats:
    """Ridge, minimum norm, or gradient descent from 0 (its iterates in closed form, in the eigenvectors' frame)."""
    values, vectors = np.linalg.eigh(second)
    values = np.maximum(values, 0)
    values[: max(len(values) - rank, 0)] = 0
    spectrum = values + ridge
    if train_time < math.inf:
        steps = math.ceil(train_time * spectrum[-1] * _STEPS_PER_TIME)
        shrunk = -np.expm1(steps * np.log1p(-train_time / steps * spectrum))
    else:
        shrunk = np.ones_like(spectrum)
    solved = spectrum > 1e-13 * spectrum[-1]
    shrunk[solved] /= spectrum[solved]
    shrunk[~solved] = train_time if train_time < math.inf else 0.0
    return np.asarray(vectors @ (shrunk * (vectors.T @ cross)))
