"""Correlations and squared error of a fine-tuned regression on a test split, with intervals."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from r2mae.data.source import SampleSource, root_of
from r2mae.errors import InputError
from r2mae.evaluation.features import extract
from r2mae.metrics.interval import (
    bootstrap_interval,
    mean_interval,
    none_if_nan,
    paired_interval,
)

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def require_targets(source: SampleSource) -> npt.NDArray[np.float32]:
    """(N,) target numbers of all samples of the split, of which a source may be a part.

    Raises: InputError when the data has none.
    """
    targets = getattr(root_of(source), "targets", None)
    if targets is None:
        raise InputError(
            "tune.regression must be false for data without a column of numbers, got true."
        )
    return np.asarray(targets)


def predict_numbers(
    model: nn.Module,
    source: SampleSource,
    target: dict[str, float],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Floats, Floats]:
    """(predicted, true numbers), (N,) each. target: {"mean", "spread"} of the training targets."""
    standardized = extract(model, source, "forward", progress=progress)[:, 0]
    predicted = standardized.astype(np.float64) * target["spread"] + target["mean"]
    return predicted, require_targets(source).astype(np.float64)


def correlations(predicted: Floats, expected: Floats) -> dict[str, float]:
    """Pearson's and Spearman's correlation and the mean squared error of predictions (N,).

    The correlations are 0 where one of the two is constant.
    """
    from scipy.stats import rankdata

    return {
        "pearson": _pearson(predicted, expected),
        "spearman": _pearson(rankdata(predicted), rankdata(expected)),
        "squared_error": float(((predicted - expected) ** 2).mean()),
    }


@dataclass(frozen=True)
class RegressionScore:
    """Test scores: means over seeds, and 95 % half-widths of Pearson's correlation.

    over_seeds: Student's t over the seeds; None for one seed.
    over_items: of the mean over these seeds, half of the bootstrap interval over test items.
    seeds: Pearson's correlation of each seed.
    """

    pearson: float
    spearman: float
    squared_error: float
    over_seeds: float | None
    over_items: float
    seeds: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-serializable fields."""
        return asdict(self)


def summarize(predictions: list[Floats], expected: Floats) -> RegressionScore:
    """Scores of predictions, an array (N,) for each seed."""
    scores = [correlations(predicted, expected) for predicted in predictions]
    seeds = tuple(score["pearson"] for score in scores)
    pearson, over_seeds = mean_interval(seeds)
    return RegressionScore(
        pearson=pearson,
        spearman=float(np.mean([score["spearman"] for score in scores])),
        squared_error=float(np.mean([score["squared_error"] for score in scores])),
        over_seeds=none_if_nan(over_seeds),
        over_items=_over_items(
            lambda rows: _mean_pearson(predictions, expected, rows), len(expected)
        ),
        seeds=seeds,
    )


def compare(
    ours: list[Floats], theirs: list[Floats], expected: Floats
) -> dict[str, float | None]:
    """{difference, over_seeds, over_items} of Pearson's correlation, ours - theirs, paired by seed and by item."""
    difference, over_seeds = paired_interval(
        [_pearson(predicted, expected) for predicted in ours],
        [_pearson(predicted, expected) for predicted in theirs],
    )

    def resampled(rows: Integers) -> float:
        mine = _mean_pearson(ours, expected, rows)
        return mine - _mean_pearson(theirs, expected, rows)

    return {
        "difference": difference,
        "over_seeds": none_if_nan(over_seeds),
        "over_items": _over_items(resampled, len(expected)),
    }


def _mean_pearson(predictions: list[Floats], expected: Floats, rows: Integers) -> float:
    targets = expected[rows]
    return float(np.mean([_pearson(values[rows], targets) for values in predictions]))


def _pearson(first: Floats, second: Floats) -> float:
    """Pearson's correlation; 0 where one of the two is constant.

    scipy's pearsonr takes 4 to 30 times as long, numpy's corrcoef 2 to 3; a bootstrap calls it thousands of times.
    """
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / size) if size > 0 else 0.0


def _over_items(statistic: Callable[[Integers], float], size: int) -> float:
    """Half of the 95 % bootstrap interval of a statistic of rows (N,)."""
    low, high = bootstrap_interval(statistic, size)
    return float(high - low) / 2
