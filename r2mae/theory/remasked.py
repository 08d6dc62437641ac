"""Training with a fresh mask at every visit, for any law, schedule and time at once: one set of resolvents answers all.

J: shifts  G: grid points  P: phases. With features of equal variance c, every estimator that gradient flow can reach is
f(X'X/N) X'y/N for a scalar filter f. A filter is written as sum_j amounts_j / (x + shift_j), so its risk is a quadratic
form in the amounts, whose (J, J) matrix is computed once.
"""

import numpy as np

from r2mae.law import MaskLaw, RatioDistribution
from r2mae.theory.equivalent import (
    RowClasses,
    mean_estimator,
    pair_moments,
    solve_resolvent,
)
from r2mae.theory.prediction import Objective, check_setting, ratios_and_weights
from r2mae.theory.problem import Floats, Problem

_SHIFTS = 30
_LEAST_SHIFT = 2e-3  # in units of c: resolves training times up to about 1,000 / c
_CUT = 1e-13  # of singular values: amounts stay small enough for rounding


class RemaskedRisk:
    """Excess risks of one problem at one number of rows; the features must share one variance and eigenvectors."""

    def __init__(self, problem: Problem, num_rows: float) -> None:
        """Raises: ValueError for a problem whose features differ in variance, or num_rows below 1."""
        check_setting(num_rows, 0.0, 0.0, 1, "downstream", 1.0)
        eigenvalues = getattr(problem.basis, "eigenvalues", None)
        if eigenvalues is None:
            raise ValueError(
                "variances must be equal, and features hide one by one, got others. Standardise them."
            )
        self.problem = problem
        self.variance = c = float(eigenvalues[1, 0])
        top = float(eigenvalues[0].max()) * (1 + np.sqrt(problem.dim / num_rows)) ** 2
        self.grid = np.concatenate(
            [[0.0], np.geomspace(1e-4 * c, 1.2 * top, 400)]
        )  # eigenvalues of X'X/N
        shifts = np.geomspace(_LEAST_SHIFT * c, 4 * max(top, 20 * c), _SHIFTS)
        self._weight = self.grid + 0.05 * c  # a filter falls about as 1 / x
        terms = self._weight[:, None] / (self.grid[:, None] + shifts)
        self._to_amounts = np.linalg.pinv(terms, rcond=_CUT)
        one, total = np.ones(1), problem.signal + problem.noise_variance
        moments = np.array([[1.0, 0.0]])
        classes = RowClasses(one, moments, moments, np.array([total]))
        fits = []
        start = None
        for shift in shifts[::-1]:
            resolvent = solve_resolvent(
                problem.basis, classes, num_rows, float(shift), start=start
            )
            fits.append(
                (
                    resolvent,
                    mean_estimator(problem.basis, classes, resolvent, problem.images),
                )
            )
            start = resolvent.unknowns
        fits = fits[::-1]
        self._linear = np.array([problem.images[0] @ mean for _, mean in fits])
        self._quadratic = np.zeros((2, _SHIFTS, _SHIFTS))
        for i, left in enumerate(fits):
            for j, right in enumerate(fits[: i + 1]):
                parts = pair_moments(
                    problem.basis, classes, num_rows, problem.images, left, right
                )
                self._quadratic[:, i, j] = self._quadratic[:, j, i] = (
                    parts[0] + parts[1]
                )

    def of(self, filters: Floats, test_mask_ratio: float) -> Floats:
        """Excess risk of filters (..., G) at a test mask ratio, (...)."""
        amounts = (filters * self._weight) @ self._to_amounts.T
        visible = 1 - test_mask_ratio
        form = (
            visible**2 * self._quadratic[0]
            + visible * test_mask_ratio * self._quadratic[1]
        )
        bent = np.einsum("...i,ij,...j->...", amounts, form, amounts)
        return np.asarray(
            bent - 2 * visible * amounts @ self._linear + self.problem.signal
        )

    def filter(
        self, visible: Floats, visible_squared: Floats, durations: Floats
    ) -> Floats:
        """Gradient flow from 0 through P phases, (..., G): E[a], E[a^2] and durations, each (..., P).

        A last duration of inf is the fit itself.
        """
        weights = np.zeros((*visible.shape[:-1], len(self.grid)))
        for phase in range(visible.shape[-1]):
            first, second = visible[..., phase, None], visible_squared[..., phase, None]
            rate = second * self.grid + (first - second) * self.variance
            decay = np.exp(-rate * durations[..., phase, None])
            weights = weights * decay + first / rate * (1 - decay)
        return np.asarray(weights)


def visible_moments(
    law: RatioDistribution | MaskLaw, objective: Objective
) -> tuple[float, float]:
    """E[a] and E[a^2] of the visible share, among masks that hide the target for reconstruction."""
    ratios, weights = ratios_and_weights(law)
    if objective == "reconstruction":
        weights = weights * ratios / (weights @ ratios)
    return float(weights @ (1 - ratios)), float(weights @ (1 - ratios) ** 2)
