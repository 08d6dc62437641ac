"""Accuracy, macro F1 and Matthews' correlation of a fine-tuned classifier on a test split, with intervals."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from r2mae.data.source import Batch, SampleSource, batch_labels
from r2mae.errors import InputError
from r2mae.evaluation.shared_batches import forward, map_batches
from r2mae.metrics.agreement import balanced_accuracy, macro_f1
from r2mae.metrics.interval import (
    repeated_bootstrap,
    share_difference_interval,
    share_interval,
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

    def answer(batch: Batch) -> tuple[Integers, Integers, Iterable[str]]:
        predicted = forward(model, batch).argmax(axis=1)
        return predicted, batch_labels(source, batch), batch.get("skipped", ())

    answers = map_batches(model, source, answer, progress)
    predicted, labels, skipped = zip(*answers, strict=True)
    return np.concatenate(predicted), np.concatenate(labels), set().union(*skipped)


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


def score(predicted: Integers, expected: Integers) -> dict[str, float]:
    """Accuracies, macro F1 and Matthews' correlation of predicted classes (N,) for expected ones (N,)."""
    return {
        "accuracy": float((predicted == expected).mean()),
        "balanced_accuracy": balanced_accuracy(predicted, expected),
        "macro_f1": macro_f1(predicted, expected),
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


def binary_f1(predicted: Integers, expected: Integers) -> float:
    """F1 of class 1 of predicted classes (N,) for expected ones (N,); 0 where neither has it."""
    is_predicted, is_expected = predicted == 1, expected == 1
    size = int(is_predicted.sum()) + int(is_expected.sum())
    return 2 * int((is_predicted & is_expected).sum()) / size if size else 0.0


def over_seeds(scores: list[dict[str, float]]) -> dict[str, Any]:
    """Mean of each score, and of the first "seeds", its value for each seed.

    scores: a dictionary for each seed.
    """
    values = {name: [one[name] for one in scores] for name in scores[0]}
    means = {name: float(np.mean(each)) for name, each in values.items()}
    return means | {"seeds": next(iter(values.values()))}


def summarize(predictions: list[Integers], expected: Integers) -> dict[str, Any]:
    """Scores of predictions, an array (N,) for each seed, with half-widths of 95 % intervals.

    half_width: of accuracy, over test samples and seeds. matthews_half_width: likewise; None
        where all predictions are right. f1: of the second of two classes; None for more.
    """
    hits = np.stack([predicted == expected for predicted in predictions])
    _, half_width = share_interval(hits)
    scores = [score(predicted, expected) for predicted in predictions]

    f1, f1_half_width = None, None
    if expected.max() <= 1:
        f1 = float(np.mean([binary_f1(each, expected) for each in predictions]))
        f1_half_width = repeated_bootstrap(binary_f1, predictions, expected)
    return {
        **over_seeds(scores),
        "half_width": half_width,
        "f1": f1,
        "f1_half_width": f1_half_width,
        "matthews_half_width": repeated_bootstrap(matthews, predictions, expected),
    }


def compare(
    ours: list[Integers], theirs: list[Integers], expected: Integers
) -> dict[str, float | None]:
    """{difference, half_width} of accuracy, ours - theirs, paired by seed and by sample."""
    difference, half_width = share_difference_interval(
        np.stack(ours) == expected, np.stack(theirs) == expected
    )
    return {"difference": difference, "half_width": half_width}
