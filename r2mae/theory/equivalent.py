"""The deterministic equivalent of ridge regression on rows of several classes, at one resolvent or between two.

C: classes of rows  B: matrices of the basis  d: features

A class c has rows with second moment M_c = sum_i moments[c, i] B_i, cross moment with the response
sum_i crosses[c, i] B_i b and response second moment responses[c]; a share weights[c] of the N rows belongs to it.
Source: docs/theory.md, "The equations".
"""

from dataclasses import dataclass

import numpy as np

from r2mae.theory.basis import Array, Basis

_TOLERANCE = 1e-12
_MAX_ITERATIONS = 2000


@dataclass(frozen=True)
class RowClasses:
    """What the rows that train are made of; see above. All float64."""

    weights: Array  # (C,) sum to 1
    moments: Array  # (C, B)
    crosses: Array  # (C, B)
    responses: Array  # (C,)


@dataclass(frozen=True)
class Resolvent:
    """inv(H + penalty + s I) in expectation, H the sample second moment of the training rows.

    kappa: (C,), how much less a class weighs because its rows are fitted.
    """

    inverse: Array
    kappa: Array
    unknowns: Array  # (B,) tr(B_i Q)


def solve_resolvent(
    basis: Basis,
    classes: RowClasses,
    num_rows: float,
    shift: complex,
    penalty: Array | None = None,
    start: Array | None = None,
) -> Resolvent:
    """Solve kappa_c = 1 + tr(M_c Q) / N with Q = inv(sum_c w_c M_c / kappa_c + sum_i penalty_i B_i + shift I).

    shift 0 without a penalty is the ridgeless limit: with fewer rows than features it solves
    kappa_c = tr(M_c Q) / N with Q = inv(sum_c w_c M_c / kappa_c + I), the minimum-norm solution.
    start: unknowns of a nearby resolvent, (B,). A Newton step is taken where it brings the residual down, else the
    plain iteration, which rises to the solution from anywhere for real positive shifts (a standard interference
    function in the sense of Yates 1995). Raises: ArithmeticError where neither converges.
    """
    extra = np.zeros(classes.moments.shape[1]) if penalty is None else penalty
    is_min_norm = shift == 0 and not np.any(extra) and num_rows < basis.dim
    offset, eps = (0.0, 1.0) if is_min_norm else (1.0, shift)
    phi, weights = classes.moments, classes.weights

    def at(unknowns: Array) -> tuple[Array, Array, Array, float]:
        kappa = offset + phi @ unknowns / num_rows
        inverse = basis.inverse((weights / kappa) @ phi + extra, eps)
        found = basis.traces(inverse)
        return kappa, inverse, found, float(np.abs(found - unknowns).max() / np.abs(found).max())

    if start is None:
        start = basis.traces(basis.inverse(weights @ phi + extra, eps))
    unknowns = np.asarray(start)
    kappa, inverse, found, residual = at(unknowns)
    for _ in range(_MAX_ITERATIONS):
        if residual < _TOLERANCE:
            return Resolvent(inverse, kappa, found)
        curvature = (phi.T * (weights / kappa**2)) @ phi / num_rows
        slope = basis.pair_traces(inverse, inverse) @ curvature
        # A basis that a law does not use (no mask noise, say) leaves no singular system: the identity stays.
        newton = unknowns + np.linalg.solve(np.eye(len(found)) - slope, found - unknowns)
        if np.all(newton.real > 0) and np.all(np.isfinite(newton)):
            trial = at(newton)
            if trial[3] < max(residual / 2, _TOLERANCE):
                unknowns, (kappa, inverse, found, residual) = newton, trial
                continue
        if residual < 1e3 * _TOLERANCE:  # as far as rounding lets it go
            return Resolvent(inverse, kappa, found)
        unknowns = found
        kappa, inverse, found, residual = at(unknowns)
    raise ArithmeticError(f"the fixed point is not reached: {residual:.1e} after {_MAX_ITERATIONS} iterations")


def mean_estimator(basis: Basis, classes: RowClasses, resolvent: Resolvent, images: Array) -> Array:
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
    """E of b_left' B_i b_right for the estimators of two resolvents on the same rows: mean part and noise part, (B,).

    left, right: a resolvent and its mean estimator. Without conjugation where they are complex.
    The per-class prediction risks r solve (I - A) r = h, A_kl = v_l tr(M_l Q M_k P) / N.
    """
    (first, mean), (second, other) = left, right
    phi = classes.moments
    shares = classes.weights / (first.kappa * second.kappa)
    pairs = basis.pair_traces(first.inverse, second.inverse)
    quadratic = basis.apply(other) @ mean
    fitted = phi @ quadratic - classes.crosses @ (images @ (mean + other)) + classes.responses
    # A[k, l] = shares[l] phi[l] pairs phi[k] / N: of rank B, so r is found in (B,) unknowns.
    middle = (phi.T * shares) @ phi / num_rows
    gathered = np.linalg.solve(np.eye(phi.shape[1]) - middle @ pairs, phi.T @ (shares * fitted))
    return quadratic, gathered @ pairs / num_rows
