"""Scores of kNN and linear probes on frozen features, with all labels or draws of a few per class.

R: draws of labels  M: test samples
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from r2mae.evaluation.features import LabelledFeatures
from r2mae.metrics.agreement import balanced_accuracy, macro_f1
from r2mae.metrics.interval import share_difference_interval, share_interval
from r2mae.metrics.knn import knn_predict
from r2mae.metrics.linear_probe import linear_probe_predict

ProbeTask = Literal["knn", "linear_probe"]
Integers = npt.NDArray[np.int64]
Status = Callable[[str], None]
_FEW_NEIGHBORS = 5  # 20 would reach past a class that has 10 labels


@dataclass(frozen=True)
class ProbeScore:
    """Test scores, means over draws of labels.

    half_width: of the 95 % interval of accuracy, over test samples and draws.
    balanced_accuracy: mean recall of the classes of the test split.
    """

    accuracy: float
    half_width: float
    balanced_accuracy: float
    macro_f1: float
    draws: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-serializable fields."""
        return asdict(self)


@dataclass(frozen=True)
class ProbeDifference:
    """Paired difference of the test accuracies of two encoders.

    half_width: of its 95 % interval, over test samples and draws.
    """

    difference: float
    half_width: float
    draws: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-serializable fields."""
        return asdict(self)


def probe(
    task: ProbeTask,
    train: LabelledFeatures,
    test: LabelledFeatures,
    *,
    draws: list[Integers] | None = None,
) -> ProbeScore:
    """Train a probe on frozen training features, score it on test features.

    draws: None trains one probe on every label; else rows of train, one array for each probe.
    """
    predicted = probe_predictions(task, train, test, draws=draws)
    return summarize(predicted, test.labels)


def probe_predictions(
    task: ProbeTask,
    train: LabelledFeatures,
    test: LabelledFeatures,
    *,
    draws: list[Integers] | None = None,
    status: Status | None = None,
) -> Integers:
    """(R, M) labels that the probe of each draw predicts; one row with all labels.

    Give every encoder the same draws to `compare` them.
    status: called with a text on the progress.
    """
    if draws is None:
        return _predict(task, train, test, False, status)[None]
    rows = []
    for number, draw in enumerate(draws, 1):
        few = LabelledFeatures(train.features[draw], train.labels[draw])
        rows.append(_predict(task, few, test, True, None))
        if status is not None:
            status(f"draw {number} of {len(draws)}")
    return np.stack(rows)


def summarize(predicted: Integers, expected: Integers) -> ProbeScore:
    """Scores of predicted labels (R, M) for expected ones (M,)."""
    accuracy, half_width = share_interval(predicted == expected)
    return ProbeScore(
        accuracy,
        half_width,
        float(np.mean([balanced_accuracy(row, expected) for row in predicted])),
        float(np.mean([macro_f1(row, expected) for row in predicted])),
        len(predicted),
    )


def compare(
    predicted: Integers, others: Integers, expected: Integers
) -> ProbeDifference:
    """Accuracy of predicted - accuracy of others, both (R, M), paired by draw and by test sample."""
    difference, half_width = share_difference_interval(
        predicted == expected, others == expected
    )
    return ProbeDifference(difference, half_width, len(predicted))


def _predict(
    task: ProbeTask,
    train: LabelledFeatures,
    test: LabelledFeatures,
    few: bool,
    status: Status | None,
) -> Integers:
    arrays = (train.features, train.labels, test.features, test.labels)
    show = status or (lambda _: None)
    if task == "knn":
        options = {"num_neighbors": _FEW_NEIGHBORS} if few else {}
        return knn_predict(
            *arrays,
            **options,
            progress=lambda done, total: show(f"{done:,} of {total:,} samples"),
        )
    return linear_probe_predict(
        *arrays,
        progress=lambda at, loss: show(f"iteration {at}, loss {loss:.6f}"),
    )
