"""How much of the labels a linear classifier reads from frozen features."""

import warnings

import numpy as np
import numpy.typing as npt

from r2mae.metrics._checks import Floats, as_splits, check_positive

_MAX_ITERATIONS = 1_000
_SMALL = 10_000_000  # feature values; below, threads of BLAS wait for each other 6 times longer than they compute


def linear_probe_accuracy(
    train_features: npt.ArrayLike,
    train_labels: npt.ArrayLike,
    test_features: npt.ArrayLike,
    test_labels: npt.ArrayLike,
    *,
    inverse_regularization: float = 1.0,
) -> float:
    """Fraction in [0, 1] of test samples that logistic regression on the training set labels rightly.

    Shapes (N, D), (N,), (M, D), (M,); labels are integers, contiguous or not. Both sets are standardised with
    the mean and deviation of the TRAINING set; what is constant there counts as 0 in both. Minimised is
    inverse_regularization x (sum of cross-entropies) + |weights|^2 / 2, intercepts free, by at most 1,000
    iterations of L-BFGS from 0.

    Raises: ValueError for shapes that disagree, values that are not finite, a single training class,
    inverse_regularization <= 0.
    Source: multinomial logistic regression, Bishop 2006, section 4.3.4.
    Differs: two classes share one logistic unit, of which the weights are penalised.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    train, known, test, truth = as_splits(train_features, train_labels, test_features, test_labels)
    check_positive("inverse_regularization", inverse_regularization)
    if (known == known[0]).all():
        raise ValueError(f"train_labels must hold at least 2 classes, got only {known[0]}. Draw more samples.")
    train, test = _standardize(train, test)
    probe = LogisticRegression(C=inverse_regularization, solver="lbfgs", max_iter=_MAX_ITERATIONS)
    threads = 1 if train.size < _SMALL else None
    with warnings.catch_warnings(), threadpool_limits(threads, user_api="blas"):
        # It warns of a line search that ends at float precision, which is the minimum, and of the last
        # iteration, after which no label changes that a score would notice.
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(train, known)
    return float((probe.predict(test) == truth).mean())


def _standardize(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Both sets (., D) with mean 0 and deviation 1 by the statistics of train."""
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    # Rounding gives a constant column a tiny deviation; dividing by it would blow up the test set.
    varies = (np.ptp(train, axis=0) > 0) & (deviation > 0)
    scale = np.where(varies, 1 / np.where(varies, deviation, 1), 0)
    return (train - mean) * scale, (test - mean) * scale
