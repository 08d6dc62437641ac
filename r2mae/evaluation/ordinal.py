"""Accuracy, mean absolute error and quadratic weighted kappa of a fine-tuned model of ordered classes."""

from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.evaluation.classification import compare, over_seeds
from r2mae.metrics.interval import repeated_bootstrap, share_interval

__all__ = ["compare", "score", "quadratic_kappa", "summarize"]

Integers = npt.NDArray[np.int64]


def score(predicted: Integers, expected: Integers) -> dict[str, float]:
    """Scores of predicted classes (N,) for expected ones (N,), both numbered in their order."""
    return {
        "accuracy": float((predicted == expected).mean()),
        "absolute_error": float(np.abs(predicted - expected).mean()),
        "quadratic_kappa": quadratic_kappa(predicted, expected),
    }


def quadratic_kappa(predicted: Integers, expected: Integers) -> float:
    """Cohen's kappa with quadratic weights of classes (N,); 0 if the predicted or the expected are all the same.

    One minus the mean squared difference over that of independent draws.

    Source: Cohen 1968. scikit-learn's validates at length; a bootstrap calls this thousands of times.
    """
    if predicted.min() == predicted.max() or expected.min() == expected.max():
        return 0.0  # rounding would leave 1e-16
    difference = predicted.mean() - expected.mean()
    by_chance = predicted.var() + expected.var() + difference**2
    error = ((predicted - expected) ** 2).mean()
    return float(1 - error / by_chance)


def summarize(predictions: list[Integers], expected: Integers) -> dict[str, Any]:
    """Scores of predictions, an array (N,) for each seed, with half-widths of 95 % intervals.

    half_width: of accuracy, over test samples and seeds. quadratic_kappa_half_width: None
        where all predictions are right, or the same.
    """
    hits = np.stack([predicted == expected for predicted in predictions])
    scores = [score(predicted, expected) for predicted in predictions]
    kappa_half_width = repeated_bootstrap(quadratic_kappa, predictions, expected)
    return {
        **over_seeds(scores),
        "half_width": share_interval(hits)[1],
        "quadratic_kappa_half_width": kappa_half_width,
    }
