"""Correlations and squared error of a fine-tuned regression on a test split, with intervals."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from r2mae.data.source import SampleSource, root_of
from r2mae.errors import InputError
from r2mae.evaluation.classification import over_seeds
from r2mae.evaluation.shared_batches import forward, map_batches
from r2mae.metrics.interval import paired_bootstrap, repeated_bootstrap

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def require_targets(source: SampleSource) -> npt.NDArray[np.float32]:
    """(N,) target numbers of all samples of the split, of which a source may be a part.

    Raises: InputError when the data has none.
    """
    targets = getattr(root_of(source), "targets", None)
    if targets is None:
        raise InputError(
            "tune.target must not be regression for data without a column of numbers. "
            "Leave it out for classes."
        )
    return np.asarray(targets)


def predict_numbers(
    model: nn.Module,
    source: SampleSource,
    target: dict[str, float],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Floats, Floats]:
    """(predicted, true numbers), (N,) each. target: {"mean", "spread"} of the training targets."""
    outputs = map_batches(model, source, partial(forward, model), progress)
    standardized = np.concatenate(outputs)[:, 0]
    predicted = standardized.astype(np.float64) * target["spread"] + target["mean"]
    return predicted, require_targets(source).astype(np.float64)


def score(predicted: Floats, expected: Floats) -> dict[str, float]:
    """Pearson's and Spearman's correlation and the mean squared error of predictions (N,).

    The correlations are 0 where one of the two is constant.
    """
    from scipy.stats import rankdata

    return {
        "pearson": _pearson(predicted, expected),
        "spearman": _pearson(rankdata(predicted), rankdata(expected)),
        "squared_error": float(((predicted - expected) ** 2).mean()),
    }


def summarize(predictions: list[Floats], expected: Floats) -> dict[str, Any]:
    """Scores of predictions, an array (N,) for each seed, with half-widths of 95 % intervals.

    half_width: of Pearson's correlation, over test samples and seeds; None for one sample.
    """
    scores = [score(predicted, expected) for predicted in predictions]
    places = [_places(predicted) for predicted in predictions]
    spearman_half_width = repeated_bootstrap(_spearman, places, _places(expected))
    return {
        **over_seeds(scores),
        "spearman_half_width": spearman_half_width,
        "half_width": repeated_bootstrap(_pearson, predictions, expected),
    }


def compare(
    ours: list[Floats], theirs: list[Floats], expected: Floats
) -> dict[str, float | None]:
    """{difference, half_width} of Pearson's correlation, ours - theirs, paired by seed and by sample."""
    return paired_bootstrap(_pearson, ours, theirs, expected)


def _places(numbers: Floats) -> Integers:
    """(N,) place of each number among the different ones, from 0."""
    places: Integers = np.unique(numbers, return_inverse=True)[1]
    return places


def _ranks(places: Integers) -> Floats:
    """(N,) ranks, of ties their mean, as scipy's rankdata, without a sort."""
    counts = np.bincount(places)
    ranks: Floats = (counts.cumsum() - (counts - 1) / 2)[places]
    return ranks


def _spearman(predicted: Integers, expected: Integers) -> float:
    """Spearman's correlation of places."""
    return _pearson(_ranks(predicted), _ranks(expected))


def _pearson(first: Floats, second: Floats) -> float:
    """Pearson's correlation; 0 where one of the two is constant.

    scipy's pearsonr takes 4 to 30 times as long, numpy's corrcoef 2 to 3; a bootstrap calls it thousands of times.
    """
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / size) if size > 0 else 0.0
