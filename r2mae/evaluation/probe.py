"""Accuracy of kNN and linear probes on frozen features, with all labels or over draws of a few per class."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from r2mae.evaluation.features import LabelledFeatures
from r2mae.metrics.interval import (
    mean_interval,
    none_if_nan,
    paired_interval,
    share_interval,
)
from r2mae.metrics.knn import knn_hits
from r2mae.metrics.linear_probe import linear_probe_hits

ProbeTask = Literal["knn", "linear_probe"]
Over = Literal["draws", "test items"]
Hits = npt.NDArray[np.bool_]
Status = Callable[[str], None]
_FEW_NEIGHBORS = 5  # 20 would reach past a class that has 10 labels


@dataclass(frozen=True)
class _Interval:
    """A 95 % half-width over draws if there are several, else over test items; None for a single item."""

    half_width: float | None
    draws: int
    over: Over

    def to_dict(self) -> dict[str, Any]:
        """JSON-serializable fields."""
        return asdict(self)


@dataclass(frozen=True)
class ProbeScore(_Interval):
    """Mean test accuracy over draws."""

    accuracy: float


@dataclass(frozen=True)
class ProbeDifference(_Interval):
    """Paired difference of the test accuracies of two encoders."""

    difference: float


def probe(
    task: ProbeTask,
    train: LabelledFeatures,
    test: LabelledFeatures,
    *,
    draws: list[npt.NDArray[np.int64]] | None = None,
) -> ProbeScore:
    """Train a probe on frozen training features, score it on test features.

    draws: None trains one probe on every label; else rows of train, one array for each probe.
    Give every encoder the same draws to `compare` them.
    """
    return summarize(probe_hits(task, train, test, draws=draws))


def probe_hits(
    task: ProbeTask,
    train: LabelledFeatures,
    test: LabelledFeatures,
    *,
    draws: list[npt.NDArray[np.int64]] | None = None,
    status: Status | None = None,
) -> Hits:
    """(draws, M) bool: whether the probe of each draw labels a test sample correctly; one row with all labels.

    status: called with a text on the progress.
    """
    if draws is None:
        return _hits(task, train, test, False, status)[None]
    rows = []
    for number, draw in enumerate(draws, 1):
        few = LabelledFeatures(train.features[draw], train.labels[draw])
        rows.append(_hits(task, few, test, True, None))
        if status is not None:
            status(f"draw {number} of {len(draws)}")
    return np.stack(rows)


def summarize(hits: Hits) -> ProbeScore:
    """Accuracy and interval of (draws, M) hits."""
    mean, half_width = (
        mean_interval(hits.mean(axis=1)) if len(hits) > 1 else share_interval(hits[0])
    )
    return ProbeScore(*_interval(half_width, len(hits)), accuracy=mean)


def compare(hits: Hits, others: Hits) -> ProbeDifference:
    """Accuracy of hits - accuracy of others, both (draws, M), paired by draw if several, else by test item."""
    over_draws = len(hits) > 1
    mean, half_width = paired_interval(
        hits.mean(axis=1) if over_draws else hits[0].astype(np.float64),
        others.mean(axis=1) if over_draws else others[0].astype(np.float64),
    )
    return ProbeDifference(*_interval(half_width, len(hits)), difference=mean)


def _interval(half_width: float, draws: int) -> tuple[float | None, int, Over]:
    return none_if_nan(half_width), draws, "draws" if draws > 1 else "test items"


def _hits(
    task: ProbeTask,
    train: LabelledFeatures,
    test: LabelledFeatures,
    few: bool,
    status: Status | None,
) -> Hits:
    arrays = (train.features, train.labels, test.features, test.labels)
    show = status or (lambda _: None)
    if task == "knn":
        options = {"num_neighbors": _FEW_NEIGHBORS} if few else {}
        return knn_hits(
            *arrays,
            **options,
            progress=lambda done, total: show(f"{done:,} of {total:,} samples"),
        )
    return linear_probe_hits(
        *arrays,
        progress=lambda at, loss: show(f"iteration {at}, loss {loss:.6f}"),
    )
