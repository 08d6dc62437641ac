"""How much of the labels a linear classifier reads from frozen features."""

import warnings

import numpy as np
import numpy.typing as npt

from r2mae.metrics._checks import Floats, as_splits, check_positive

_MAX_ITERATIONS = 10_000


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
    inverse_regularization x (sum of cross-entropies) + |weights|^2 / 2, intercepts free, by L-BFGS from 0.

    Raises: ValueError for shapes that disagree, values that are not finite, a single training class,
    inverse_regularization <= 0, or a fit that does not converge.
    Source: multinomial logistic regression, Bishop 2006, section 4.3.4.
    Differs: two classes share one logistic unit, of which the weights are penalised.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    train, known, test, truth = as_splits(train_features, train_labels, test_features, test_labels)
    check_positive("inverse_regularization", inverse_regularization)
    if (known == known[0]).all():
        raise ValueError(
            f"train_labels must hold at least 2 classes, got only {known[0]}. Draw more samples."
        )
    train, test = _standardize(train, test)
    probe = LogisticRegression(C=inverse_regularization, solver="lbfgs", max_iter=_MAX_ITERATIONS)
    with warnings.catch_warnings():
        # It warns of a line search that ends at float precision, which is the minimum, and of too many
        # iterations, which is an error below.
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(train, known)
    if probe.n_iter_.max() >= _MAX_ITERATIONS:
        rule = f"converge within {_MAX_ITERATIONS} iterations"
        raise ValueError(f"inverse_regularization must {rule}, got {inverse_regularization}. Lower it.")
    return float((probe.predict(test) == truth).mean())


def _standardize(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Both sets (., D) with mean 0 and deviation 1 by the statistics of train."""
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    # Rounding gives a constant column a tiny deviation; dividing by it would blow up the test set.
    varies = (np.ptp(train, axis=0) > 0) & (deviation > 0)
    scale = np.where(varies, 1 / np.where(varies, deviation, 1), 0)
    return (train - mean) * scale, (test - mean) * scale
