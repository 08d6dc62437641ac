"""Monte Carlo check of the predicted risk.

Data sets are drawn, masked and fitted; the test risk of each fit is then exact.

N: rows  d: features  K: ratios  U: units that are hidden together
"""

import math
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from r2mae.law import MaskLaw, RatioDistribution
from r2mae.theory.basis import Floats
from r2mae.theory.problem import block_diagonal, build_problem, check_covariance
from r2mae.theory.setting import Options, Setting, ratios_and_weights, training_weights

_STEPS_PER_TIME = 20.0  # of gradient descent, in units of 1 / the greatest eigenvalue
_ZERO = 1e-13  # of the greatest eigenvalue: what counts as 0


@dataclass(frozen=True)
class Simulation:
    """Mean excess test risk over data sets, and the standard error of that mean."""

    excess_risk: float
    standard_error: float
    num_sets: int


@dataclass(frozen=True)
class _Moments:
    """Moments of the masked training rows: what a least-squares fit depends on."""

    second: Floats  # (d, d) mean of xm xm'
    cross: Floats  # (d,) mean of xm y
    rank: int  # upper bound on the rank of `second`


@dataclass(frozen=True)
class _Sampler:
    """Draws training sets: Gaussian rows, or rows of a real sample."""

    root: Floats  # (d, d) root of the covariance
    coefficients: Floats  # (d,)
    noise_variance: float
    num_rows: int
    real: Floats | None  # (M, d)

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Features (N, d) and responses (N,)."""
        if self.real is None:
            normal = rng.standard_normal((self.num_rows, len(self.root)))
            x = normal @ self.root.T
        else:
            x = self.real[rng.integers(len(self.real), size=self.num_rows)]
        noise = math.sqrt(self.noise_variance) * rng.standard_normal(self.num_rows)
        return x, x @ self.coefficients + noise


def simulate(
    covariance: ArrayLike,
    coefficients: ArrayLike,
    noise_variance: float,
    num_rows: int,
    law: RatioDistribution | MaskLaw,
    *,
    tokens: ArrayLike | None = None,
    rows: ArrayLike | None = None,
    num_sets: int = 100,
    seed: int = 0,
    **options: Unpack[Options],
) -> Simulation:
    """Simulated excess test risk; arguments as in `excess_risk`.

    rows: real samples (M, d), drawn with replacement instead of Gaussian ones; the
        covariance should be theirs. num_sets: data sets to draw, at least 2.
    options: fields of `Setting`, but masks_per_row may be any whole number. A step of
        gradient descent is at most 1/20 of the inverse of the greatest eigenvalue.

    Raises: ValueError for a value that breaks its rule.
    """
    epochs = options.pop("masks_per_row", 1)
    _check_counts(epochs, num_sets, num_rows)
    setting = Setting(num_rows, **options)
    build_problem(covariance, coefficients, noise_variance, tokens=tokens)  # checks
    matrix, b = check_covariance(covariance), np.asarray(coefficients, np.float64)
    root, real = _square_root(matrix), _check_rows(rows, len(b))
    sampler = _Sampler(root, b, noise_variance, num_rows, real)
    visible = 1 - setting.test_mask_ratio
    at_test = _masked_covariance(matrix, tokens, visible)
    rng = np.random.default_rng(seed)
    risks = []
    for _ in range(num_sets):
        x, y = sampler.draw(rng)
        moments = _masked_moments(x, y, law, setting, epochs, tokens, rng)
        fit = _fit(moments, setting.ridge, setting.train_time)
        cross = 2 * visible * fit @ matrix @ b
        risks.append(float(fit @ at_test @ fit - cross + b @ matrix @ b))
    return _summarise(risks)


def _summarise(risks: list[float]) -> Simulation:
    error = float(np.std(risks, ddof=1) / math.sqrt(len(risks)))
    return Simulation(float(np.mean(risks)), error, len(risks))


def _check_counts(epochs: float, num_sets: int, num_rows: float) -> None:
    if epochs != math.inf and (epochs != int(epochs) or epochs < 1):
        raise ValueError(
            f"masks_per_row must be a whole number from 1, or inf, got {epochs}."
        )
    if num_sets < 2 or num_rows != int(num_rows):
        raise ValueError(
            "num_sets must be at least 2 and num_rows a whole number, "
            f"got {num_sets} and {num_rows}."
        )


def _masked_covariance(
    matrix: Floats, tokens: ArrayLike | None, visible: float
) -> Floats:
    """Covariance of features of which a share `visible` is shown, (d, d)."""
    kept = block_diagonal(matrix, tokens)
    return visible**2 * matrix + visible * (1 - visible) * kept


def _square_root(matrix: Floats) -> Floats:
    """R (d, d) with R R' = matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))


def _check_rows(rows: ArrayLike | None, num_features: int) -> Floats | None:
    if rows is None:
        return None
    real = np.asarray(rows, dtype=np.float64)
    if real.ndim != 2 or real.shape[1] != num_features or not np.isfinite(real).all():
        raise ValueError(
            f"rows must be finite numbers (M, {num_features}), got shape {real.shape}."
        )
    return real


def _masked_moments(
    x: Floats,
    y: Floats,
    law: RatioDistribution | MaskLaw,
    setting: Setting,
    epochs: float,
    tokens: ArrayLike | None,
    rng: np.random.Generator,
) -> _Moments:
    """Moments of rows x (N, d), y (N,) over `epochs` masks per row, or over all for inf."""
    if epochs == math.inf:
        return _averaged_moments(x, y, law, setting.objective, tokens)
    labels = np.arange(x.shape[1]) if tokens is None else np.asarray(tokens)
    _, units = np.unique(labels, return_inverse=True)
    return _drawn_moments(x, y, law, setting.objective, int(epochs), units, rng)


def _averaged_moments(
    x: Floats,
    y: Floats,
    law: RatioDistribution | MaskLaw,
    objective: str,
    tokens: ArrayLike | None,
) -> _Moments:
    """Moments averaged over all masks, exactly."""
    ratios, weights = ratios_and_weights(law)
    weights = training_weights(ratios, weights, objective)
    visible = 1 - ratios
    second = x.T @ x / len(x)
    kept = block_diagonal(second, tokens)
    mixed = weights @ visible**2 * second + weights @ (visible * ratios) * kept
    # The mask noise makes the second moment full rank.
    rank = len(y) + len(second)
    return _Moments(mixed, weights @ visible * (x.T @ y) / len(x), rank)


def _drawn_moments(
    x: Floats,
    y: Floats,
    law: RatioDistribution | MaskLaw,
    objective: str,
    epochs: int,
    units: NDArray[np.integer[Any]],
    rng: np.random.Generator,
) -> _Moments:
    """Moments over drawn masks; units (d,): index of the unit of a feature."""
    second, cross, count = np.zeros((x.shape[1],) * 2), np.zeros(x.shape[1]), 0
    for _ in range(epochs):
        ratios = _draw_ratios(law, len(y), rng)
        is_visible = rng.random((len(y), int(units.max()) + 1)) >= ratios[:, None]
        trains = np.ones(len(y), dtype=bool)
        if objective == "reconstruction":
            trains = rng.random(len(y)) < ratios  # rows that hide the target
        masked = (x * is_visible[:, units])[trains]
        second += masked.T @ masked
        cross += masked.T @ y[trains]
        count += int(trains.sum())
    return _Moments(second / max(count, 1), cross / max(count, 1), count)


def _draw_ratios(
    law: RatioDistribution | MaskLaw, count: int, rng: np.random.Generator
) -> Floats:
    if isinstance(law, MaskLaw):
        return rng.choice(law.table(), size=count)
    return law.quantile(rng.random(count))


def _fit(moments: _Moments, ridge: float, train_time: float) -> Floats:
    """Coefficients (d,) by ridge, minimum norm, or gradient descent from 0.

    The iterates of gradient descent have a closed form in the eigenvectors' frame.
    """
    values, vectors = np.linalg.eigh(moments.second)
    values = np.maximum(values, 0)
    # Eigenvalues beyond the rank are rounding noise.
    values[: max(len(values) - moments.rank, 0)] = 0
    spectrum = values + ridge
    gain = np.ones_like(spectrum)
    if train_time < math.inf:
        steps = math.ceil(train_time * spectrum[-1] * _STEPS_PER_TIME)
        gain = -np.expm1(steps * np.log1p(-train_time / steps * spectrum))
    is_positive = spectrum > _ZERO * spectrum[-1]
    gain[is_positive] /= spectrum[is_positive]
    # A zero eigenvalue: gain / spectrum tends to train_time; minimum norm leaves it out.
    gain[~is_positive] = train_time if train_time < math.inf else 0.0
    return np.asarray(vectors @ (gain * (vectors.T @ moments.cross)))
