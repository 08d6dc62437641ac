"""The estimator of a masked regression in the limit, and its risk at a test mask ratio.

K: ratios  B: matrices of the basis  d: features
"""

from dataclasses import dataclass

import numpy as np

from r2mae.theory.basis import Array, Floats
from r2mae.theory.equivalent import (
    Resolvent,
    RowClasses,
    mean_estimator,
    pair_moments,
    solve_resolvent,
)
from r2mae.theory.flow import flow_nodes
from r2mae.theory.problem import Problem


@dataclass(frozen=True)
class _Term:
    """One ridge fit of an estimator."""

    amount: complex
    resolvent: Resolvent
    mean: Array  # (d,) mean estimator

    def conjugate(self) -> "_Term":
        """The term at the conjugate ridge."""
        resolvent = Resolvent(
            self.resolvent.inverse.conj(),
            self.resolvent.kappa.conj(),
            self.resolvent.unknowns.conj(),
        )
        return _Term(self.amount.conjugate(), resolvent, self.mean.conj())


@dataclass(frozen=True)
class Estimator:
    """sum_j amount_j inv(H + ridge_j I) (1/N) X'y, H the second moment of the rows.

    One term with a real ridge for training to convergence. Several with complex ridges
    for early stopping, each of which stands for its conjugate too.
    """

    problem: Problem
    classes: RowClasses
    num_rows: float
    terms: list[_Term]

    def degrees_of_freedom(self) -> float:
        """Trace of the hat matrix, for an estimator of one term."""
        resolvent = self.terms[0].resolvent
        shares = (self.classes.weights / resolvent.kappa) @ self.classes.moments
        return float(shares @ self.problem.basis.traces(resolvent.inverse))

    def test(self, visible: float) -> tuple[float, float]:
        """(bias, variance) of the excess risk where a share `visible` is shown."""
        problem, terms = self.problem, self.terms
        is_real = len(terms) == 1
        copies = 1 if is_real else 2  # a complex term and its conjugate
        at_test = _test_moment(problem, visible)
        bias, variance = problem.signal, 0.0
        for index, term in enumerate(terms):
            cross = term.amount * (problem.covariance_image @ term.mean)
            bias -= float(copies * 2 * visible * cross.real)
            for other in terms[index:]:
                twice = 1 if other is term else 2  # the form is symmetric
                for partner in [other] if is_real else [other, other.conjugate()]:
                    quadratic, noise = self._pair_moments(term, partner)
                    factor = twice * copies * term.amount * partner.amount
                    bias += float((factor * (at_test @ quadratic)).real)
                    variance += float((factor * (at_test @ noise)).real)
        return bias, variance

    def _pair_moments(self, left: _Term, right: _Term) -> tuple[Array, Array]:
        return pair_moments(
            self.problem.basis,
            self.classes,
            self.num_rows,
            self.problem.images,
            (left.resolvent, left.mean),
            (right.resolvent, right.mean),
        )


def fit_one_mask(
    problem: Problem,
    num_rows: float,
    visible: Floats,
    weights: Floats,
    ridge: float,
    train_time: float,
) -> Estimator:
    """One fixed mask per row: a class of rows for each visible share (K,).

    With a leading factor there is a class for each share and each value of the factor.

    weights: (K,) share of the rows that train. train_time: inf for convergence.
    """
    classes = _masked_classes(problem, visible, weights)
    nodes = flow_nodes(train_time)
    start = None
    if nodes[0][1] != 0:
        # A complex solution is reached reliably only from a nearby one: start at the
        # real ridge of the same size.
        real_ridge = ridge + abs(nodes[0][1])
        start = solve_resolvent(problem.basis, classes, num_rows, real_ridge).unknowns
    ridges = [(amount, ridge + shift) for amount, shift in nodes]
    return _ridge_sum(problem, classes, num_rows, ridges, start=start)


def fit_fresh_masks(
    problem: Problem,
    num_rows: float,
    visible: Floats,
    weights: Floats,
    ridge: float,
    train_time: float,
) -> Estimator:
    """A fresh mask at each visit: unmasked rows with the penalty E[a(1-a)] D.

    Arguments as in `fit_one_mask`.
    """
    first, second = float(weights @ visible), float(weights @ visible**2)
    classes = _unmasked_classes(problem)
    # The loss averaged over masks is divided by E[a^2], so that its matrix is that of
    # the unmasked rows plus a penalty.
    is_noise = [0.0, 1, 1, 0] if problem.has_factor else [0.0, 1]
    penalty = (first - second) / second * np.array(is_noise)
    ridges = [
        (amount * first / second, (ridge + shift) / second)
        for amount, shift in flow_nodes(train_time)
    ]
    return _ridge_sum(problem, classes, num_rows, ridges, penalty=penalty)


def _ridge_sum(
    problem: Problem,
    classes: RowClasses,
    num_rows: float,
    ridges: list[tuple[complex, complex]],
    *,
    penalty: Array | None = None,
    start: Array | None = None,
) -> Estimator:
    """The estimator with a term for each (amount, ridge).

    Each ridge is close to the one before, whose solution is the next start.
    """
    terms = []
    for amount, ridge in ridges:
        resolvent = solve_resolvent(
            problem.basis, classes, num_rows, ridge, penalty=penalty, start=start
        )
        mean = mean_estimator(problem.basis, classes, resolvent, problem.images)
        terms.append(_Term(amount, resolvent, mean))
        start = resolvent.unknowns
    return Estimator(problem, classes, num_rows, terms)


def _masked_classes(problem: Problem, visible: Floats, weights: Floats) -> RowClasses:
    a, noise, zero = visible, visible * (1 - visible), np.zeros_like(visible)
    if not problem.has_factor:
        return RowClasses(
            weights,
            np.stack([a**2, noise], 1),
            np.stack([a, zero], 1),
            np.full(len(a), problem.response_variance),
        )
    squares, shares = _squared_normal()
    f2 = np.repeat(squares, len(a))  # squared factor of a class
    a, noise, zero = (np.tile(part, len(squares)) for part in (a, noise, zero))
    return RowClasses(
        np.outer(shares, weights).ravel(),
        np.stack([a**2, noise, noise * f2, a**2 * f2], 1),
        np.stack([a, zero, zero, a * f2], 1),
        problem.signal
        - problem.factor_signal
        + f2 * problem.factor_signal
        + problem.noise_variance,
    )


def _unmasked_classes(problem: Problem) -> RowClasses:
    if not problem.has_factor:
        moments = np.array([[1.0, 0.0]])
        responses = np.array([problem.response_variance])
        return RowClasses(np.ones(1), moments, moments, responses)
    squares, shares = _squared_normal()
    zero, one = np.zeros_like(squares), np.ones_like(squares)
    moments = np.stack([one, zero, zero, squares], 1)
    responses = (
        problem.signal + (squares - 1) * problem.factor_signal + problem.noise_variance
    )
    return RowClasses(shares, moments, moments, responses)


def _squared_normal() -> tuple[Floats, Floats]:
    """Gauss-Hermite rule for the square of a standard normal: values (4,), weights (4,).

    Nodes come in pairs of both signs with the same square, so half of them suffice.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    return nodes[4:] ** 2, weights[4:] / weights[4:].sum()


def _test_moment(problem: Problem, visible: float) -> Floats:
    """Coefficients (B,) of the masked covariance at test time."""
    noise = visible * (1 - visible)
    if problem.has_factor:
        return np.array([visible**2, noise, noise, visible**2])
    return np.array([visible**2, noise])
