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
Hits = npt.NDArray[np.bool_]
Say = Callable[[str], None]
_FEW_NEIGHBORS = 5  # 20 would reach past a class that has 10 labels


@dataclass(frozen=True)
class ProbeScore:
    """Test accuracy, or a difference of two, with its 95 % half-width over draws where several, else over test items.

    half_width is None where there is no interval: a difference over a single test item.
    """

    accuracy: float
    half_width: float | None
    draws: int
    over: Literal["draws", "test items"]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self)


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
    if len(hits) > 1:
        return _score(mean_interval(hits.mean(axis=1)), len(hits))
    return _score(share_interval(hits[0]), 1)


def compare(hits: Hits, others: Hits) -> ProbeScore:
    """Accuracy of hits - accuracy of others, both (draws, M), paired: draw by draw where several, else item by item."""
    if len(hits) > 1:
        return _score(mean_interval(hits.mean(axis=1) - others.mean(axis=1)), len(hits))
    return _score(mean_interval(hits[0].astype(np.float64) - others[0]), 1)


def _score(interval: tuple[float, float], draws: int) -> ProbeScore:
    mean, half_width = interval
    return ProbeScore(
        mean, None if math.isnan(half_width) else half_width, draws, "draws" if draws > 1 else "test items"
    )


def _hits(task: ProbeTask, train: LabelledFeatures, test: LabelledFeatures, few: bool, say: Say | None) -> Hits:
    arrays = (train.features, train.labels, test.features, test.labels)
    if task == "knn":
        options = {"num_neighbors": _FEW_NEIGHBORS} if few else {}
        return knn_hits(*arrays, **options, progress=say and (lambda done, total: say(f"{done:,} of {total:,} samples")))
    return linear_probe_hits(*arrays, progress=say and (lambda at, loss: say(f"iteration {at}, loss {loss:.6f}")))
