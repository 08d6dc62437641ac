"""How much of the labels a linear classifier reads from frozen features."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.metrics._checks import Floats, Integers, as_splits, check_positive

Progress = Callable[[int, float], None]
_MAX_ITERATIONS = 1_000
_SMALL = 10_000_000  # feature values; below, threads of BLAS wait for each other 6 times longer than they compute
# Of the gradient of the mean loss, where curvature is about 1: labels of a test set no longer move.
_TOLERANCE = 3e-6


def linear_probe_accuracy(
    train_features: npt.ArrayLike,
    train_labels: npt.ArrayLike,
    test_features: npt.ArrayLike,
    test_labels: npt.ArrayLike,
    **options: Any,
) -> float:
    """Fraction in [0, 1] of `linear_probe_hits`."""
    return float(
        linear_probe_hits(
            train_features, train_labels, test_features, test_labels, **options
        ).mean()
    )


def linear_probe_hits(
    train_features: npt.ArrayLike,
    train_labels: npt.ArrayLike,
    test_features: npt.ArrayLike,
    test_labels: npt.ArrayLike,
    *,
    inverse_regularization: float = 1.0,
    progress: Progress | None = None,
) -> npt.NDArray[np.bool_]:
    """(M,): which test samples logistic regression labels rightly; see `linear_probe_predict`."""
    options = {"inverse_regularization": inverse_regularization, "progress": progress}
    found = linear_probe_predict(
        train_features, train_labels, test_features, test_labels, **options
    )  # type: ignore[arg-type]
    return np.asarray(found == np.asarray(test_labels))


def linear_probe_predict(
    train_features: npt.ArrayLike,
    train_labels: npt.ArrayLike,
    test_features: npt.ArrayLike,
    test_labels: npt.ArrayLike,
    *,
    inverse_regularization: float = 1.0,
    progress: Progress | None = None,
) -> Integers:
    """(M,): the label that logistic regression on the training set gives; test_labels are only checked.

    Shapes (N, D), (N,), (M, D), (M,); labels are integers, contiguous or not. Both sets are standardised with
    the mean and deviation of the TRAINING set; what is constant there counts as 0 in both. Minimised is
    inverse_regularization x (sum of cross-entropies) + |weights|^2 / 2, intercepts free, by at most 1,000
    iterations of L-BFGS from 0. progress: is told (iteration, objective / (inverse_regularization x N)).

    Raises: ValueError for shapes that disagree, values that are not finite, a single training class,
    inverse_regularization <= 0.
    Source: multinomial logistic regression, Bishop 2006, section 4.3.4.
    Differs: two classes share one logistic unit, of which the weights are penalised.
    """
    from threadpoolctl import threadpool_limits

    train, known, test, _ = as_splits(
        train_features, train_labels, test_features, test_labels
    )
    check_positive("inverse_regularization", inverse_regularization)
    classes, codes = np.unique(known, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"train_labels must hold at least 2 classes, got only {known[0]}. Draw more samples."
        )
    with threadpool_limits(1 if train.size < _SMALL else None, user_api="blas"):
        train, test = _standardize(train, test)
        if (
            len(train) < train.shape[1]
        ):  # the best weights lie in the span of the training set
            basis = np.linalg.qr(train.T)[0]
            train, test = train @ basis, test @ basis
        weights, intercepts = _fit(
            train, codes, 1 / (inverse_regularization * len(train)), progress
        )
        logits = _logits(test, weights, intercepts)
    return np.asarray(classes[logits.argmax(axis=1)])


def _fit(
    features: Floats, codes: Integers, penalty: float, progress: Progress | None
) -> tuple[Floats, Floats]:
    """(weights (D, U), intercepts (U,)) with the least mean cross-entropy + penalty x |weights|^2 / 2.

    U is the number of classes, or 1 for two. Raw pixels are so correlated that plain L-BFGS is far from the minimum
    after 1,000 iterations. It runs on other coordinates instead, in which the objective curves about equally: with L
    the Cholesky factor of the curvature at 0 (for U classes features^T features / (N U) + penalty), weights =
    L^-T coordinates. The minimum is the same, and some 30 iterations away.
    """
    from scipy.linalg import solve_triangular
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    (size, dim), classes = features.shape, int(codes.max()) + 1
    units, rows = 1 if classes == 2 else classes, np.arange(size)
    if progress is not None:
        progress(0, float(np.log(classes)))
    factor = _curvature_factor(features, classes, penalty)

    def unpack(flat: Floats) -> tuple[Floats, Floats]:
        table = flat.reshape(dim + 1, units)
        weights = solve_triangular(
            factor, table[:-1], lower=True, trans=1, check_finite=False
        )
        return weights, table[-1] * np.sqrt(classes)

    def objective(flat: Floats) -> tuple[float, Floats]:
        weights, intercepts = unpack(flat)
        log_share = log_softmax(_logits(features, weights, intercepts), axis=1)
        loss = -log_share[rows, codes].mean() + penalty * (weights**2).sum() / 2
        residual = np.exp(log_share)
        residual[rows, codes] -= 1
        residual = residual[:, -units:] / size
        slope = solve_triangular(
            factor,
            features.T @ residual + penalty * weights,
            lower=True,
            check_finite=False,
        )
        return float(loss), np.vstack(
            [slope, residual.sum(axis=0) * np.sqrt(classes)]
        ).ravel()

    iteration = 0

    def tell(intermediate_result: Any) -> None:
        nonlocal iteration
        iteration += 1
        if progress is not None:
            progress(iteration, float(intermediate_result.fun))

    options = {
        "maxiter": _MAX_ITERATIONS,
        "maxfun": 2 * _MAX_ITERATIONS,
        "gtol": _TOLERANCE,
        "ftol": 1e-13,
    }
    start = np.zeros((dim + 1) * units)
    return unpack(
        minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            callback=tell,
            options=options,
        ).x
    )


def _curvature_factor(features: Floats, classes: int, penalty: float) -> Floats:
    """The lower Cholesky factor (D, D) of the objective's curvature in the weights of a unit, at 0."""
    from scipy.linalg import cholesky

    curvature = features.T @ features / (len(features) * classes)
    # Rounding may leave it just short of positive; what is added changes the coordinates, not the minimum.
    curvature[np.diag_indices(len(curvature))] += penalty + 1e-10 * max(
        1.0, float(curvature.trace())
    )
    return np.asarray(
        cholesky(curvature, lower=True, overwrite_a=True, check_finite=False)
    )


def _logits(features: Floats, weights: Floats, intercepts: Floats) -> Floats:
    """(N, C); of two classes the first one's are 0."""
    logits = features @ weights + intercepts
    return logits if logits.shape[1] > 1 else np.hstack([np.zeros_like(logits), logits])


def _standardize(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Both sets (., D) with mean 0 and deviation 1 by the statistics of train."""
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    # Rounding gives a constant column a tiny deviation; dividing by it would blow up the test set.
    varies = (np.ptp(train, axis=0) > 0) & (deviation > 0)
    scale = np.where(varies, 1 / np.where(varies, deviation, 1), 0)
    return (train - mean) * scale, (test - mean) * scale
