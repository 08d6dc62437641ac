"""Accuracy of a linear probe: logistic regression on frozen features."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.metrics._checks import Floats, Integers, as_splits, check_positive
from r2mae.metrics._rows import Converted, parts

Progress = Callable[[int, float], None]
_Rows = Floats | Converted  # (N, D), read by slices of rows
_MAX_ITERATIONS = 1_000
# Feature values; with fewer, threads of BLAS wait for each other 6 times longer than they compute.
_SMALL = 10_000_000
# Of the gradient of the mean loss, of curvature about 1; a smaller one changes no predicted labels.
_TOLERANCE = 3e-6


def linear_probe_accuracy(
    train_features: npt.ArrayLike,
    train_labels: npt.ArrayLike,
    test_features: npt.ArrayLike,
    test_labels: npt.ArrayLike,
    **options: Any,
) -> float:
    """Share of test samples, in [0, 1], that `linear_probe_predict` gives their label."""
    predicted = linear_probe_predict(
        train_features, train_labels, test_features, test_labels, **options
    )
    return float((predicted == np.asarray(test_labels)).mean())


def linear_probe_predict(
    train_features: npt.ArrayLike,
    train_labels: npt.ArrayLike,
    test_features: npt.ArrayLike,
    test_labels: npt.ArrayLike,
    *,
    inverse_regularization: float = 1.0,
    progress: Progress | None = None,
) -> Integers:
    """(M,) labels by logistic regression on the training set; test_labels are only checked.

    Shapes (N, D), (N,), (M, D), (M,); labels are integers, contiguous or not. Both sets are standardised with
    the mean and deviation of the TRAINING set; features that are constant there count as 0 in both.
    The objective is inverse_regularization x (sum of cross-entropies) + |weights|^2 / 2, with free
    intercepts, minimised by at most 1,000 iterations of L-BFGS from 0.
    Memory beyond the features: less than 1 GB where N > D; no array of all samples and classes is made.
    progress: called with (iteration, objective / (inverse_regularization x N)).

    Raises: ValueError for shapes that disagree, values that are not finite, a single training class,
    inverse_regularization <= 0.
    Source: multinomial logistic regression, Bishop 2006, section 4.3.4.
    Differs: two classes share one logistic unit, of which the weights are penalised.
    """
    from threadpoolctl import threadpool_limits

    train, labels, test, _ = as_splits(
        train_features, train_labels, test_features, test_labels
    )
    check_positive("inverse_regularization", inverse_regularization)
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"train_labels must hold at least 2 classes, got only {labels[0]}. Draw more samples."
        )
    with threadpool_limits(1 if train.size < _SMALL else None, user_api="blas"):
        standardize = _standardizer(train)
        features, basis = _reduce(Converted(train, standardize))
        penalty = 1 / (inverse_regularization * len(train))
        weights, intercepts = _minimize(_Objective(features, codes, penalty), progress)
        weights = weights if basis is None else basis @ weights
        predicted = [
            _logits(standardize(test[rows]), weights, intercepts).argmax(axis=1)
            for rows in _parts(test, len(classes))
        ]
    return np.asarray(classes[np.concatenate(predicted)])


class _Objective:
    """Mean cross-entropy + penalty x |weights|^2 / 2 of features (N, D) with class codes (N,).

    Raw pixels are so correlated that plain L-BFGS is far from the minimum after 1,000 iterations. In the
    coordinates used here the objective curves about equally in all directions, and 30 iterations suffice:
    weights = L^-T coordinates, with L the Cholesky factor of the curvature at 0.
    The coordinates are flat: (D + 1) x U, the last row for intercepts. U is the number of classes, or 1 for two.
    """

    def __init__(self, features: _Rows, codes: Integers, penalty: float) -> None:
        self.features, self.codes, self.penalty = features, codes, penalty
        self.classes = int(codes.max()) + 1
        self.units = 1 if self.classes == 2 else self.classes
        self.factor = _curvature_factor(features, self.classes, penalty)

    def unpack(self, flat: Floats) -> tuple[Floats, Floats]:
        """(weights (D, U), intercepts (U,)) at flat coordinates."""
        from scipy.linalg import solve_triangular

        table = flat.reshape(-1, self.units)
        weights = solve_triangular(
            self.factor, table[:-1], lower=True, trans=1, check_finite=False
        )
        return weights, table[-1] * np.sqrt(self.classes)

    def __call__(self, flat: Floats) -> tuple[float, Floats]:
        """(value, gradient) at flat coordinates."""
        from scipy.linalg import solve_triangular

        weights, intercepts = self.unpack(flat)
        size, entropy = len(self.codes), 0.0
        slope, of_intercepts = np.zeros_like(weights), np.zeros_like(intercepts)
        for rows in _parts(self.features, self.classes):
            part = self.features[rows]
            logits = _logits(part, weights, intercepts)
            entropy_of_part, residual = _cross_entropy(logits, self.codes[rows])
            residual = residual[:, -self.units :] / size
            entropy += entropy_of_part
            slope += part.T @ residual
            of_intercepts += residual.sum(axis=0)
        value = entropy / size + self.penalty * (weights**2).sum() / 2
        slope += self.penalty * weights
        slope = solve_triangular(self.factor, slope, lower=True, check_finite=False)
        of_intercepts *= np.sqrt(self.classes)
        return float(value), np.vstack([slope, of_intercepts]).ravel()


def _cross_entropy(logits: Floats, codes: Integers) -> tuple[float, Floats]:
    """(sum, its derivative by logits (N, C)) of the cross-entropies of class codes (N,)."""
    from scipy.special import log_softmax

    rows = np.arange(len(codes))
    log_share = log_softmax(logits, axis=1)
    total = -log_share[rows, codes].sum()
    residual = np.exp(log_share, out=log_share)
    residual[rows, codes] -= 1
    return float(total), residual


def _minimize(
    objective: _Objective, progress: Progress | None
) -> tuple[Floats, Floats]:
    """(weights (D, U), intercepts (U,)) at the minimum."""
    from scipy.optimize import minimize

    if progress is not None:
        progress(0, float(np.log(objective.classes)))
    iteration = 0

    def report(intermediate_result: Any) -> None:
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
    start = np.zeros((objective.features.shape[1] + 1) * objective.units)
    result = minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        callback=report,
        options=options,
    )
    return objective.unpack(result.x)


def _parts(features: _Rows, classes: int) -> Iterator[slice]:
    """Rows to compute at a time, of features (N, D) and logits (N, C)."""
    return parts(len(features), max(features.shape[1], classes))


def _reduce(features: Converted) -> tuple[_Rows, Floats | None]:
    """(features in at most N coordinates, their basis (D, N)): the best weights lie in the span of N rows.

    The basis is None where features have at most N coordinates already.
    """
    if len(features) >= features.shape[1]:
        return features, None
    rows = features[:]
    basis = np.linalg.qr(rows.T)[0]
    return rows @ basis, basis


def _curvature_factor(features: _Rows, classes: int, penalty: float) -> Floats:
    """The lower Cholesky factor (D, D) of the objective's curvature in the weights of a unit, at 0."""
    from scipy.linalg import cholesky

    curvature = np.zeros((features.shape[1],) * 2)
    for rows in _parts(features, classes):
        part = features[rows]
        curvature += part.T @ part
    curvature /= len(features) * classes
    # Rounding may make it slightly indefinite; the addition changes the coordinates, not the minimum.
    curvature[np.diag_indices(len(curvature))] += penalty + 1e-10 * max(
        1.0, float(curvature.trace())
    )
    return np.asarray(
        cholesky(curvature, lower=True, overwrite_a=True, check_finite=False)
    )


def _logits(features: Floats, weights: Floats, intercepts: Floats) -> Floats:
    """(N, C); with two classes, those of the first are 0."""
    logits = features @ weights + intercepts
    return logits if logits.shape[1] > 1 else np.hstack([np.zeros_like(logits), logits])


def _standardizer(train: npt.NDArray[Any]) -> Callable[[npt.NDArray[Any]], Floats]:
    """Maps features (., D) to those with mean 0 and deviation 1 by the statistics of train (N, D)."""
    total, squares = np.zeros(train.shape[1]), np.zeros(train.shape[1])
    for rows in parts(*train.shape):
        total += train[rows].astype(np.float64).sum(axis=0)
    mean = total / len(train)
    for rows in parts(*train.shape):
        squares += ((train[rows] - mean) ** 2).sum(axis=0)
    deviation = np.sqrt(squares / len(train))
    # Rounding gives a constant column a tiny deviation; dividing by it would blow up the test set.
    varies = (train.max(axis=0) > train.min(axis=0)) & (deviation > 0)
    scale = np.where(varies, 1 / np.where(varies, deviation, 1), 0)
    return partial(_standardize, mean, scale)


def _standardize(mean: Floats, scale: Floats, features: npt.NDArray[Any]) -> Floats:
    standard: Floats = np.subtract(features, mean, dtype=np.float64)
    standard *= scale
    return standard
