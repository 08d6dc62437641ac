"""The deterministic equivalent of ridge regression on rows of several classes.

A resolvent and a product of two resolvents of a random matrix concentrate; this module
solves for their limits.

C: classes of rows  B: matrices of the basis  d: features  N: rows

The rows of a class c have second moment M_c = sum_i moments[c, i] B_i, cross moment with
the response sum_i crosses[c, i] B_i b, and response second moment responses[c]. A share
weights[c] of the N rows belongs to it.

Source: docs/theory.md, "The equations".
"""

from dataclasses import dataclass

import numpy as np

from r2mae.theory.basis import Array, Basis

_TOLERANCE = 1e-12  # relative residual at which the fixed point counts as solved
_ACCEPTABLE = 1e-5  # residual that is still a solution where rounding stops progress
_MAX_ITERATIONS = 2000
_PATIENCE = 200  # iterations without halving the residual before giving up
_MAX_GROWTH = 1024.0


@dataclass(frozen=True)
class RowClasses:
    """The moments of the rows that train, by class; see above. All float64."""

    weights: Array  # (C,) sum to 1
    moments: Array  # (C, B)
    crosses: Array  # (C, B)
    responses: Array  # (C,)


@dataclass(frozen=True)
class Resolvent:
    """Expectation of inv(H + penalty + s I), H the sample second moment of the rows."""

    inverse: Array  # Q, in the form of the basis
    kappa: Array  # (C,) factor by which fitting a class reduces its weight
    unknowns: Array  # (B,) tr(B_i Q)


@dataclass(frozen=True)
class _Iterate:
    """The fixed-point map unknowns -> tr(B_i Q), evaluated at one point."""

    unknowns: Array  # (B,) where
    kappa: Array  # (C,)
    inverse: Array
    traces: Array  # (B,) value of the map
    residual: float  # relative distance of value and point


@dataclass(frozen=True)
class _FixedPoint:
    """kappa_c = offset + tr(M_c Q) / N.

    Q = inv(sum_c w_c M_c / kappa_c + sum_i penalty_i B_i + eps I).
    """

    basis: Basis
    classes: RowClasses
    num_rows: float
    offset: float
    eps: complex
    penalty: Array

    def default_start(self) -> Array:
        """Unknowns (B,) at kappa = 1."""
        coefs = self.classes.weights @ self.classes.moments + self.penalty
        return self.basis.traces(self.basis.inverse(coefs, self.eps))

    def evaluate(self, unknowns: Array) -> _Iterate:
        """The map at unknowns (B,)."""
        moments, weights = self.classes.moments, self.classes.weights
        kappa = self.offset + moments @ unknowns / self.num_rows
        coefs = (weights / kappa) @ moments + self.penalty
        inverse = self.basis.inverse(coefs, self.eps)
        traces = self.basis.traces(inverse)
        residual = float(np.abs(traces - unknowns).max() / np.abs(traces).max())
        return _Iterate(unknowns, kappa, inverse, traces, residual)

    def newton_step(self, current: _Iterate) -> _Iterate | None:
        """The map after one Newton step; None where the step must not be taken."""
        moments, weights = self.classes.moments, self.classes.weights
        curvature = (moments.T * (weights / current.kappa**2)) @ moments / self.num_rows
        slope = self.basis.pair_traces(current.inverse, current.inverse) @ curvature
        jacobian = np.eye(len(slope)) - slope
        change = np.linalg.solve(jacobian, current.traces - current.unknowns)
        unknowns = current.unknowns + change
        # Rounding may put the trace of a zero matrix slightly below 0.
        least = -_TOLERANCE * np.abs(unknowns).max()
        if not (np.all(unknowns.real >= least) and np.all(np.isfinite(unknowns))):
            return None
        step = self.evaluate(unknowns)
        is_real = not np.iscomplexobj(current.traces)
        if step.residual < current.residual or (is_real and np.isfinite(step.residual)):
            return step
        return None

    def solve(self, start: Array) -> _Iterate:
        """Iterate from unknowns (B,) to the fixed point, or as near as rounding allows.

        Real residuals are convex: from above the solution Newton steps lead straight
        down to it. From below they may leave the positive numbers; then plain steps
        with a doubling factor lead above it.
        """
        current = self.evaluate(np.asarray(start))
        best, stalled, growth = current.residual, 0, 1.0
        for _ in range(_MAX_ITERATIONS):
            if current.residual < _TOLERANCE or stalled > _PATIENCE:
                break
            step = self.newton_step(current)
            if step is not None:
                current, growth = step, 1.0
            else:
                is_real = not np.iscomplexobj(current.traces)
                target = current.traces * growth if is_real else current.traces
                current = self.evaluate(target)
                growth = min(2 * growth, _MAX_GROWTH)
            if current.residual < best / 2:
                best, stalled = current.residual, 0
            else:
                stalled += 1
        return current


def solve_resolvent(
    basis: Basis,
    classes: RowClasses,
    num_rows: float,
    shift: complex,
    penalty: Array | None = None,
    start: Array | None = None,
) -> Resolvent:
    """Solve the fixed-point equation of a resolvent.

    kappa_c = 1 + tr(M_c Q) / N with
    Q = inv(sum_c w_c M_c / kappa_c + sum_i penalty_i B_i + shift I).

    shift 0 without a penalty is ridgeless regression. With fewer rows than features it
    solves kappa_c = tr(M_c Q) / N with Q = inv(sum_c w_c M_c / kappa_c + I), which gives
    the minimum-norm solution.

    penalty: coefficients (B,), default 0. start: unknowns (B,) of a nearby resolvent.
    For real shifts the iteration is a standard interference function in the sense of
    Yates 1995: there is one solution, and every large enough multiple of a point lies
    above it.

    Raises: ValueError where rounding prevents convergence.
    """
    if penalty is None:
        penalty = np.zeros(classes.moments.shape[1])
    is_min_norm = shift == 0 and not np.any(penalty) and num_rows < basis.dim
    offset, eps = (0.0, 1.0) if is_min_norm else (1.0, shift)
    equation = _FixedPoint(basis, classes, num_rows, offset, eps, penalty)
    solution = equation.solve(equation.default_start() if start is None else start)
    if not solution.residual < _ACCEPTABLE:
        raise ValueError(
            "covariance must be conditioned well enough for float64, got a fixed point "
            f"with a relative residual of {solution.residual:.0e}. "
            "Add a ridge, or shrink it towards its diagonal."
        )
    return Resolvent(solution.inverse, solution.kappa, solution.traces)


def mean_estimator(
    basis: Basis, classes: RowClasses, resolvent: Resolvent, images: Array
) -> Array:
    """Mean of resolvent x (1/N) X'y, (d,); images: B_i b, (B, d)."""
    cross = ((classes.weights / resolvent.kappa) @ classes.crosses) @ images
    return basis.solve(resolvent.inverse, cross)


def pair_moments(
    basis: Basis,
    classes: RowClasses,
    num_rows: float,
    images: Array,
    left: tuple[Resolvent, Array],
    right: tuple[Resolvent, Array],
) -> tuple[Array, Array]:
    """E of b_left' B_i b_right for two estimators on the same rows, as two parts (B,).

    The first part is that of the mean estimators, the second that of their noise.

    left, right: a resolvent and its mean estimator (d,). Nothing is conjugated where
    they are complex. images: B_i b, (B, d).
    """
    (first, mean), (second, other) = left, right
    moments = classes.moments
    shares = classes.weights / (first.kappa * second.kappa)
    pairs = basis.pair_traces(first.inverse, second.inverse)
    quadratic = basis.apply(other) @ mean
    cross = classes.crosses @ (images @ (mean + other))
    fitted = moments @ quadratic - cross + classes.responses
    # The prediction risks r (C,) solve (I - A) r = fitted with
    # A[k, l] = shares[l] moments[l] pairs moments[k] / N. A has rank B, so B unknowns
    # are enough, however many classes there are.
    middle = (moments.T * shares) @ moments / num_rows
    matrix = np.eye(moments.shape[1]) - middle @ pairs
    gathered = np.linalg.solve(matrix, moments.T @ (shares * fitted))
    return quadratic, gathered @ pairs / num_rows
