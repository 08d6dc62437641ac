"""Excess risk with fresh masks for any law, schedule and training time, from one solve.

With features of equal variance c, every estimator that gradient flow can reach is
f(X'X/N) X'y/N for a scalar filter f. A filter is written as
sum_j amounts_j / (x + shift_j). Its risk is then a quadratic form in the amounts, whose
(J, J) matrix is computed once for all laws.

J: shifts  G: grid points  P: phases of a schedule
"""

import numpy as np

from r2mae.theory.basis import Array, Floats
from r2mae.theory.equivalent import (
    Resolvent,
    RowClasses,
    mean_estimator,
    pair_moments,
    solve_resolvent,
)
from r2mae.theory.problem import Problem
from r2mae.theory.setting import Setting

_NUM_SHIFTS = 30
_LEAST_SHIFT = 2e-3  # in units of c: resolves training times up to about 1,000 / c
_GRID_SIZE = 400
# Relative cut of singular values: amounts stay small enough not to amplify rounding.
_CUT = 1e-13


class RemaskedRisk:
    """Excess risks of one problem at one number of rows, for any filter."""

    def __init__(self, problem: Problem, num_rows: float) -> None:
        """Solve the resolvents.

        Raises: ValueError where features differ in variance, or num_rows is below 1.
        """
        Setting(num_rows)  # checks num_rows
        eigenvalues = getattr(problem.basis, "eigenvalues", None)
        if eigenvalues is None:
            raise ValueError(
                "variances must be equal and features masked one by one, got others. "
                "Standardise the features."
            )
        self.problem = problem
        self.variance = c = float(eigenvalues[1, 0])
        # Upper edge of the Marchenko-Pastur spectrum, scaled by the largest eigenvalue.
        edge = (1 + np.sqrt(problem.dim / num_rows)) ** 2
        top = float(eigenvalues[0].max()) * edge
        # Eigenvalues of X'X/N at which filters are fitted.
        positive = np.geomspace(1e-4 * c, 1.2 * top, _GRID_SIZE)
        self.grid = np.concatenate([[0.0], positive])
        shifts = np.geomspace(_LEAST_SHIFT * c, 4 * max(top, 20 * c), _NUM_SHIFTS)
        self._weight = self.grid + 0.05 * c  # a filter falls about as 1 / x
        terms = self._weight[:, None] / (self.grid[:, None] + shifts)
        self._to_amounts = np.linalg.pinv(terms, rcond=_CUT)
        self._linear, self._quadratic = _risk_forms(problem, num_rows, shifts)

    def of(self, filters: Floats, test_mask_ratio: float) -> Floats:
        """Excess risk (...) of filters (..., G) at a test mask ratio."""
        amounts = (filters * self._weight) @ self._to_amounts.T
        visible = 1 - test_mask_ratio
        form = (
            visible**2 * self._quadratic[0]
            + visible * test_mask_ratio * self._quadratic[1]
        )
        square = np.einsum("...i,ij,...j->...", amounts, form, amounts)
        return np.asarray(
            square - 2 * visible * amounts @ self._linear + self.problem.signal
        )

    def filter(
        self, visible: Floats, visible_squared: Floats, durations: Floats
    ) -> Floats:
        """Filter (..., G) of gradient flow from 0 through P phases.

        visible, visible_squared: E[a] and E[a^2] in each phase, (..., P).
        durations: learning rate x steps of each phase, (..., P); inf in the last phase
        trains to convergence.
        """
        weights = np.zeros((*visible.shape[:-1], len(self.grid)))
        for phase in range(visible.shape[-1]):
            first, second = visible[..., phase, None], visible_squared[..., phase, None]
            rate = second * self.grid + (first - second) * self.variance
            decay = np.exp(-rate * durations[..., phase, None])
            weights = weights * decay + first / rate * (1 - decay)
        return np.asarray(weights)


def _risk_forms(
    problem: Problem, num_rows: float, shifts: Floats
) -> tuple[Floats, Floats]:
    """Linear (J,) and quadratic (2, J, J) part of the risk in the amounts.

    The quadratic part has one matrix for S and one for D.
    """
    moments = np.array([[1.0, 0.0]])
    responses = np.array([problem.response_variance])
    classes = RowClasses(np.ones(1), moments, moments, responses)
    fits = _ridge_fits(problem, classes, num_rows, shifts)
    linear = np.array([problem.images[0] @ mean for _, mean in fits])
    quadratic = np.zeros((2, len(shifts), len(shifts)))
    for i, left in enumerate(fits):
        for j, right in enumerate(fits[: i + 1]):
            mean_part, noise_part = pair_moments(
                problem.basis, classes, num_rows, problem.images, left, right
            )
            quadratic[:, i, j] = quadratic[:, j, i] = mean_part + noise_part
    return linear, quadratic


def _ridge_fits(
    problem: Problem, classes: RowClasses, num_rows: float, shifts: Floats
) -> list[tuple[Resolvent, Array]]:
    """Resolvent and mean estimator at each ridge of shifts (J,), which rise."""
    fits = []
    start = None
    # From large ridges, where the solution is easy, down to small ones.
    for shift in shifts[::-1]:
        resolvent = solve_resolvent(
            problem.basis, classes, num_rows, float(shift), start=start
        )
        mean = mean_estimator(problem.basis, classes, resolvent, problem.images)
        fits.append((resolvent, mean))
        start = resolvent.unknowns
    return fits[::-1]
