"""kNN and linear probe on frozen features, with all labels or over many draws of a few."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from r2mae.evaluation.features import LabelledFeatures
from r2mae.metrics.interval import mean_interval, share_interval
from r2mae.metrics.knn import knn_hits
from r2mae.metrics.linear_probe import linear_probe_hits

ProbeTask = Literal["knn", "linear_probe"]
Over = Literal["draws", "test items"]
Hits = npt.NDArray[np.bool_]
Say = Callable[[str], None]
_FEW_NEIGHBORS = 5  # 20 would reach past a class that has 10 labels


@dataclass(frozen=True)
class _Interval:
    """A 95 % half-width over draws where several, else over test items; None where a single item gives none."""

    half_width: float | None
    draws: int
    over: Over

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self)


@dataclass(frozen=True)
class ProbeScore(_Interval):
    """Test accuracy, the mean over draws."""

    accuracy: float


@dataclass(frozen=True)
class ProbeDifference(_Interval):
    """One encoder's test accuracy - another's, paired."""

    difference: float


def probe(
    task: ProbeTask,
    train: LabelledFeatures,
    test: LabelledFeatures,
    *,
    draws: list[npt.NDArray[np.int64]] | None = None,
) -> ProbeScore:
    """Train a probe on frozen training features, score it on test features.

    draws: None uses every label; else rows of train for one probe each. The same draws pair encoders.
    """
    return summarize(probe_hits(task, train, test, draws=draws))


def probe_hits(
    task: ProbeTask,
    train: LabelledFeatures,
    test: LabelledFeatures,
    *,
    draws: list[npt.NDArray[np.int64]] | None = None,
    say: Say | None = None,
) -> Hits:
    """(draws, M): which test samples the probe of each draw labels rightly; one row with all labels.

    say: is told how far it is.
    """
    if draws is None:
        return _hits(task, train, test, False, say)[None]
    rows = []
    for number, draw in enumerate(draws, 1):
        few = LabelledFeatures(train.features[draw], train.labels[draw])
        rows.append(_hits(task, few, test, True, None))
        if say is not None:
            say(f"draw {number} of {len(draws)}")
    return np.stack(rows)


def summarize(hits: Hits) -> ProbeScore:
    """Accuracy and interval of (draws, M) hits."""
    mean, half_width = (
        mean_interval(hits.mean(axis=1)) if len(hits) > 1 else share_interval(hits[0])
    )
    return ProbeScore(*_interval(half_width, len(hits)), accuracy=mean)


def compare(hits: Hits, others: Hits) -> ProbeDifference:
    """Accuracy of hits - accuracy of others, both (draws, M), paired: draw by draw where several, else item by item."""
    differences = hits.astype(np.float64) - others
    mean, half_width = mean_interval(
        differences.mean(axis=1) if len(hits) > 1 else differences[0]
    )
    return ProbeDifference(*_interval(half_width, len(hits)), difference=mean)


def _interval(half_width: float, draws: int) -> tuple[float | None, int, Over]:
    return (
        None if math.isnan(half_width) else half_width,
        draws,
        "draws" if draws > 1 else "test items",
    )


def _hits(
    task: ProbeTask,
    train: LabelledFeatures,
    test: LabelledFeatures,
    few: bool,
    say: Say | None,
) -> Hits:
    arrays = (train.features, train.labels, test.features, test.labels)
    if task == "knn":
        options = {"num_neighbors": _FEW_NEIGHBORS} if few else {}
        return knn_hits(
            *arrays,
            **options,
            progress=say
            and (lambda done, total: say(f"{done:,} of {total:,} samples")),
        )
    return linear_probe_hits(
        *arrays,
        progress=say and (lambda at, loss: say(f"iteration {at}, loss {loss:.6f}")),
    )
