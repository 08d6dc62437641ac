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
_PATIENCE = (
    200  # iterations without halving the residual: as far as rounding lets it go
)
_ROUNDING = 1e-5
_MOST_GROWTH = 1024.0


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
    start: unknowns of a nearby resolvent, (B,). Newton steps, and doubling ones where those leave the positive
    numbers: for real shifts the iteration is a standard interference function in the sense of Yates 1995, so there is
    one solution, and any large enough multiple of a point lies above it.
    Raises: ValueError where rounding keeps both from it.
    """
    extra = np.zeros(classes.moments.shape[1]) if penalty is None else penalty
    is_min_norm = shift == 0 and not np.any(extra) and num_rows < basis.dim
    offset, eps = (0.0, 1.0) if is_min_norm else (1.0, shift)
    phi, weights = classes.moments, classes.weights

    def at(unknowns: Array) -> tuple[Array, Array, Array, float]:
        kappa = offset + phi @ unknowns / num_rows
        inverse = basis.inverse((weights / kappa) @ phi + extra, eps)
        found = basis.traces(inverse)
        return (
            kappa,
            inverse,
            found,
            float(np.abs(found - unknowns).max() / np.abs(found).max()),
        )

    if start is None:
        start = basis.traces(basis.inverse(weights @ phi + extra, eps))
    unknowns = np.asarray(start)
    kappa, inverse, found, residual = at(unknowns)
    is_real = not np.iscomplexobj(found)
    best, since, growth = residual, 0, 1.0
    for _ in range(_MAX_ITERATIONS):
        if residual < _TOLERANCE or since > _PATIENCE:
            break
        curvature = (phi.T * (weights / kappa**2)) @ phi / num_rows
        slope = basis.pair_traces(inverse, inverse) @ curvature
        newton = unknowns + np.linalg.solve(
            np.eye(len(found)) - slope, found - unknowns
        )
        # Real residuals are convex: from above the solution Newton steps lead straight down to it, from below they may
        # leave the positive numbers; then doubling steps lead above.
        least = -_TOLERANCE * np.abs(newton).max()  # a matrix that is 0 has trace 0
        if np.all(newton.real >= least) and np.all(np.isfinite(newton)):
            trial = at(newton)
            if trial[3] < residual or (is_real and np.isfinite(trial[3])):
                unknowns, (kappa, inverse, found, residual), growth = newton, trial, 1.0
                best, since = (
                    (residual, 0) if residual < best / 2 else (best, since + 1)
                )
                continue
        unknowns = found * growth if is_real else found
        growth = min(2 * growth, _MOST_GROWTH)
        kappa, inverse, found, residual = at(unknowns)
        best, since = (residual, 0) if residual < best / 2 else (best, since + 1)
    if not residual < _ROUNDING:
        raise ValueError(
            f"covariance must be conditioned well enough for float64, got a fixed point missed by {residual:.0e}. "
            "Add a ridge, or shrink it towards its diagonal."
        )
    return Resolvent(inverse, kappa, found)


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
    """E of b_left' B_i b_right for the estimators of two resolvents on the same rows: mean part and noise part, (B,).

    left, right: a resolvent and its mean estimator. Without conjugation where they are complex.
    The per-class prediction risks r solve (I - A) r = h, A_kl = v_l tr(M_l Q M_k P) / N.
    """
    (first, mean), (second, other) = left, right
    phi = classes.moments
    shares = classes.weights / (first.kappa * second.kappa)
    pairs = basis.pair_traces(first.inverse, second.inverse)
    quadratic = basis.apply(other) @ mean
    fitted = (
        phi @ quadratic
        - classes.crosses @ (images @ (mean + other))
        + classes.responses
    )
    # A[k, l] = shares[l] phi[l] pairs phi[k] / N: of rank B, so r is found in (B,) unknowns.
    middle = (phi.T * shares) @ phi / num_rows
    gathered = np.linalg.solve(
        np.eye(phi.shape[1]) - middle @ pairs, phi.T @ (shares * fitted)
    )
    return quadratic, gathered @ pairs / num_rows
