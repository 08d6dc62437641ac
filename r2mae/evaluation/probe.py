"""kNN and linear probe on frozen features, with all labels or over many draws of a few."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from r2mae.evaluation.features import LabelledFeatures
from r2mae.metrics.interval import mean_interval
from r2mae.metrics.knn import knn_accuracy
from r2mae.metrics.linear_probe import linear_probe_accuracy

ProbeTask = Literal["knn", "linear_probe"]
_FEW_NEIGHBORS = 5  # 20 would reach past a class that has 10 labels


@dataclass(frozen=True)
class ProbeScore:
    """Test accuracy: one number with all labels, mean and 95 % half-width over draws with a few."""

    accuracy: float
    half_width: float | None
    draws: int

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
    if draws is None:
        return ProbeScore(_score(task, train, test, few=False), None, 1)
    scores = []
    for draw in draws:
        few = LabelledFeatures(train.features[draw], train.labels[draw])
        scores.append(_score(task, few, test, few=True))
    mean, half_width = mean_interval(scores)
    return ProbeScore(mean, half_width if len(draws) > 1 else None, len(draws))


def _score(task: ProbeTask, train: LabelledFeatures, test: LabelledFeatures, few: bool) -> float:
    arrays = (train.features, train.labels, test.features, test.labels)
    if task == "knn":
        return knn_accuracy(*arrays, num_neighbors=_FEW_NEIGHBORS) if few else knn_accuracy(*arrays)
    return linear_probe_accuracy(*arrays)
