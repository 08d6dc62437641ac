"""A trained regression on a split that it is asked about once: how its answers correlate with the truth."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from r2mae.data.source import SampleSource, root_of
from r2mae.errors import InputError
from r2mae.evaluation.features import extract
from r2mae.metrics.interval import mean_interval

Floats = npt.NDArray[np.float64]
_RESAMPLES = 1000


def require_targets(source: SampleSource) -> npt.NDArray[np.float32]:
    """(N,) numbers of all samples of the split that a source is of.

    Raises: InputError when the data has none.
    """
    found = getattr(root_of(source), "targets", None)
    if found is None:
        raise InputError(
            "tune.regression must be false for data without a column of numbers, got true."
        )
    return np.asarray(found)


def predict_numbers(
    model: nn.Module,
    source: SampleSource,
    target: dict[str, float],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Floats, Floats]:
    """(predicted, true numbers), (N,) each. target: {"mean", "spread"} of what was trained on."""
    found = extract(model, source, "forward", progress=progress)[:, 0].astype(
        np.float64
    )
    return found * target["spread"] + target["mean"], require_targets(source).astype(
        np.float64
    )


def correlations(predicted: Floats, expected: Floats) -> dict[str, float]:
    """Pearson's and Spearman's correlation and the mean squared error of predictions (N,)."""
    return {
        "pearson": _pearson(predicted, expected),
        "spearman": _pearson(_ranks(predicted), _ranks(expected)),
        "squared_error": float(((predicted - expected) ** 2).mean()),
    }


@dataclass(frozen=True)
class RegressionScore:
    """Test scores over seeds: means, and 95 % half-widths of Pearson's correlation.

    over_seeds: by Student's t; None for one seed. over_items: for the mean of these seeds, by the bootstrap.
    """

    pearson: float
    spearman: float
    squared_error: float
    over_seeds: float | None
    over_items: float
    seeds: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self)


def summarize(predictions: list[Floats], expected: Floats) -> RegressionScore:
    """One row of a table from the predictions (N,) of every seed."""
    scores = [correlations(predicted, expected) for predicted in predictions]
    means = {
        name: float(np.mean([score[name] for score in scores])) for name in scores[0]
    }
    seeds = tuple(score["pearson"] for score in scores)
    over_items = _bootstrap(
        lambda rows: _mean_pearson(predictions, expected, rows), len(expected)
    )
    return RegressionScore(
        **means, over_seeds=_over_seeds(seeds), over_items=over_items, seeds=seeds
    )


def compare(
    ours: list[Floats], theirs: list[Floats], expected: Floats
) -> dict[str, float | None]:
    """{difference, over_seeds, over_items} of Pearson's correlation, ours - theirs, paired by seed and by item."""
    pairs = zip(ours, theirs, strict=True)
    differences = [
        _pearson(mine, expected) - _pearson(other, expected) for mine, other in pairs
    ]

    def difference(rows: npt.NDArray[np.int64]) -> float:
        return _mean_pearson(ours, expected, rows) - _mean_pearson(
            theirs, expected, rows
        )

    over_items = _bootstrap(difference, len(expected))
    return {
        "difference": float(np.mean(differences)),
        "over_seeds": _over_seeds(differences),
        "over_items": over_items,
    }


def _mean_pearson(
    predictions: list[Floats], expected: Floats, rows: npt.NDArray[np.int64]
) -> float:
    return float(
        np.mean(
            [_pearson(predicted[rows], expected[rows]) for predicted in predictions]
        )
    )


def _pearson(first: Floats, second: Floats) -> float:
    """0 where one of the two does not vary, as it then tells nothing."""
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / size) if size > 0 else 0.0


def _ranks(values: Floats) -> Floats:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values), dtype=np.float64)


def _over_seeds(values: Any) -> float | None:
    return mean_interval(np.array(values))[1] if len(values) > 1 else None


def _bootstrap(statistic: Callable[[npt.NDArray[np.int64]], float], size: int) -> float:
    """Half of the 95 % interval of a statistic of rows (N,), over resampled items."""
    draw = np.random.default_rng(0)
    found = [statistic(draw.integers(0, size, size)) for _ in range(_RESAMPLES)]
    low, high = np.quantile(found, (0.025, 0.975))
    return float(high - low) / 2
