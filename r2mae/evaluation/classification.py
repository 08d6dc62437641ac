"""Accuracy, macro F1 and Matthews' correlation of a fine-tuned classifier on a test split, with intervals."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from r2mae.data.source import SampleSource, batch_labels
from r2mae.errors import InputError
from r2mae.evaluation.features import extract
from r2mae.metrics.interval import (
    bootstrap_interval,
    mean_interval,
    none_if_nan,
    ratio_interval,
)

Integers = npt.NDArray[np.int64]


def predict(
    model: nn.Module,
    source: SampleSource,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Integers, Integers, set[str]]:
    """(predicted classes (N,), labels (N,), names of unreadable samples) of a source, without augmentation.

    A neighbouring sample, with its own label, replaces an unreadable one.
    progress: called with (samples done, N).
    """
    labels: list[Integers] = []
    skipped: set[str] = set()
    options: Any = {
        "skipped": skipped,
        "on_batch": lambda batch: labels.append(batch_labels(source, batch)),
    }
    logits = extract(model, source, "forward", progress=progress, **options)
    return logits.argmax(axis=1), np.concatenate(labels), skipped


def truth(source: SampleSource, labels: Integers, classes: Sequence[int]) -> Integers:
    """Class indices (N,) of the head for labels (N,) of a source; classes: label of each head output.

    Raises: InputError for labels that training did not have.
    """
    trained = np.asarray(classes)
    untrained = np.setdiff1d(labels, trained).tolist()
    if untrained:
        names = [source.class_names.get(label, str(label)) for label in untrained[:5]]
        raise InputError(
            f"the test split must hold classes of the training split alone, "
            f"got {len(untrained)} more: {', '.join(names)}. "
            "Add them to the training split, or take them out of the test split."
        )
    return head_numbers(labels, trained)


def head_numbers(labels: Integers, classes: Integers) -> Integers:
    """Index of each label (N,) in classes (C,), which need no order; arbitrary for other labels."""
    order = np.argsort(classes)
    places = np.searchsorted(classes, labels, sorter=order)
    return order[np.minimum(places, len(classes) - 1)]


def accuracy_and_f1(predicted: Integers, expected: Integers) -> dict[str, float]:
    """Accuracy, macro F1 and Matthews' correlation of predicted classes (N,) for expected ones (N,)."""
    from sklearn.metrics import f1_score

    f1 = f1_score(expected, predicted, average="macro", zero_division=0.0)
    return {
        "accuracy": float((predicted == expected).mean()),
        "macro_f1": float(f1),
        "matthews": matthews(predicted, expected),
    }


def matthews(predicted: Integers, expected: Integers) -> float:
    """Matthews' correlation of predicted classes (N,) for expected ones (N,), both >= 0; 0 if either is constant.

    scikit-learn's gives the same number in 140 to 420 times the time; a bootstrap calls it thousands of times.

    Source: Gorodkin 2004 for several classes.
    """
    num_classes = int(max(predicted.max(), expected.max())) + 1
    answers = np.bincount(predicted, minlength=num_classes).astype(np.float64)
    truths = np.bincount(expected, minlength=num_classes).astype(np.float64)
    size, hits = float(len(expected)), float((predicted == expected).sum())
    variances = (size**2 - answers @ answers) * (size**2 - truths @ truths)
    if variances <= 0:
        return 0.0
    return float((hits * size - answers @ truths) / np.sqrt(variances))


@dataclass(frozen=True)
class SeedScore:
    """Test scores: means over seeds, and 95 % half-widths of accuracy and of Matthews' correlation.

    over_seeds, matthews_over_seeds: Student's t over the seeds; None for one seed.
    over_items: of the mean over these seeds, by the normal approximation over test items; None for one item.
    matthews_over_items: of the mean over these seeds, half of the bootstrap interval over test items.
    seeds: the accuracy of each seed.
    """

    accuracy: float
    macro_f1: float
    matthews: float
    over_seeds: float | None
    over_items: float | None
    seeds: tuple[float, ...]
    matthews_over_seeds: float | None
    matthews_over_items: float | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-serializable fields."""
        return asdict(self)


def summarize(predictions: list[Integers], expected: Integers) -> SeedScore:
    """Scores of predictions, an array (N,) for each seed."""
    hits = np.stack([predicted == expected for predicted in predictions])
    accuracy, over_seeds, over_items = _intervals(hits.astype(np.float64))
    scores = [accuracy_and_f1(predicted, expected) for predicted in predictions]
    correlation, half_width = mean_interval([score["matthews"] for score in scores])
    return SeedScore(
        accuracy=accuracy,
        macro_f1=float(np.mean([score["macro_f1"] for score in scores])),
        matthews=correlation,
        over_seeds=over_seeds,
        over_items=over_items,
        seeds=tuple(hits.mean(axis=1).tolist()),
        matthews_over_seeds=none_if_nan(half_width),
        matthews_over_items=_matthews_over_items(predictions, expected),
    )


def compare(
    ours: list[Integers], theirs: list[Integers], expected: Integers
) -> dict[str, float | None]:
    """{difference, over_seeds, over_items} of accuracy, ours - theirs, paired by seed and by item."""
    pairs = zip(ours, theirs, strict=True)
    differences = np.stack(
        [(mine == expected) * 1.0 - (other == expected) for mine, other in pairs]
    )
    names = ("difference", "over_seeds", "over_items")
    return dict(zip(names, _intervals(differences), strict=True))


def _matthews_over_items(
    predictions: list[Integers], expected: Integers
) -> float | None:
    """95 % half-width of the mean over seeds, by the bootstrap over test items; None for one item."""
    if len(expected) < 2:
        return None

    def mean(rows: Integers) -> float:
        truths = expected[rows]
        correlations = [matthews(predicted[rows], truths) for predicted in predictions]
        return float(np.mean(correlations))

    low, high = bootstrap_interval(mean, len(expected))
    return float(high - low) / 2


def _intervals(
    values: npt.NDArray[np.float64],
) -> tuple[float, float | None, float | None]:
    """(mean, 95 % half-width over seeds, over items) of values (seeds, items)."""
    mean, over_seeds = mean_interval(values.mean(axis=1))
    of_items = values.mean(axis=0)
    _, over_items = ratio_interval(of_items, np.ones_like(of_items))
    return mean, none_if_nan(over_seeds), none_if_nan(over_items)
