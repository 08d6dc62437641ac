"""Scores of predicted classes in which every class has equal weight, by scikit-learn."""

import warnings

import numpy.typing as npt


def balanced_accuracy(predicted: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """Mean recall of the expected classes; predicted and expected are labels (N,)."""
    from sklearn.metrics import balanced_accuracy_score

    with warnings.catch_warnings():  # of classes that are predicted, but not expected
        warnings.simplefilter("ignore", UserWarning)
        return float(balanced_accuracy_score(expected, predicted))


def macro_f1(predicted: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """Mean F1 of the classes in predicted or expected labels (N,)."""
    from sklearn.metrics import f1_score

    return float(f1_score(expected, predicted, average="macro", zero_division=0.0))
