"""F1 and mean average precision of a fine-tuned model whose samples have any number of labels.

N samples, C labels.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from torch import nn

from r2mae.data.labels import natural, split_labels
from r2mae.data.source import Batch, SampleSource, batch_labels, with_labels
from r2mae.errors import InputError
from r2mae.evaluation.classification import over_seeds
from r2mae.evaluation.features import require_labels
from r2mae.evaluation.shared_batches import forward, map_batches
from r2mae.metrics.interval import paired_bootstrap, repeated_bootstrap

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


def label_names(source: SampleSource) -> list[str]:
    """Labels in the class names of a source's samples: numbers by value, then names by alphabet.

    Raises: InputError when the data has no labels.
    """
    names: set[str] = set()
    for number in np.unique(require_labels(with_labels(source))).tolist():
        names.update(split_labels(source.class_names[number]))
    return sorted(names, key=natural)


def check_labels(trained: list[str], tested: list[str]) -> None:
    """Raise InputError for labels of the test split that training has not."""
    untrained = sorted(set(tested) - set(trained))
    if untrained:
        some = ", ".join(untrained[:5]) + (", ..." if len(untrained) > 5 else "")
        raise InputError(
            "the test split must hold only labels that the training split has, "
            f"got {len(untrained)} more: {some}. "
            "Add them to the training split, or take them out of the test split."
        )


def label_matrix(
    numbers: Integers, class_names: dict[int, str], names: list[str]
) -> Flags:
    """(N, C) which of the named labels each sample has; others are left out.

    numbers: (N,) of classes, -1 for a sample without.
    """
    columns = {name: column for column, name in enumerate(names)}
    classes, places = np.unique(numbers, return_inverse=True)
    rows = np.zeros((len(classes), len(names)), dtype=np.bool_)
    for row, number in zip(rows, classes.tolist(), strict=True):
        labels = split_labels(class_names.get(number, ""))
        row[[columns[label] for label in labels if label in columns]] = True
    return rows[places]


def predict_labels(
    model: nn.Module,
    source: SampleSource,
    names: list[str],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Floats, Flags, set[str]]:
    """(probabilities (N, C), labels (N, C), names of unreadable samples) of a source.

    A neighbouring sample, with its own labels, replaces an unreadable one.
    progress: called with (samples done, N).

    Raises: InputError for labels that training did not have.
    """
    check_labels(names, label_names(source))

    def answer(batch: Batch) -> tuple[Any, Integers, Iterable[str]]:
        numbers = batch_labels(source, batch)
        return forward(model, batch), numbers, batch.get("skipped", ())

    answers = map_batches(model, source, answer, progress)
    logits, numbers, skipped = zip(*answers, strict=True)
    expected = label_matrix(np.concatenate(numbers), source.class_names, names)
    probabilities = expit(np.concatenate(logits).astype(np.float64))
    return probabilities, expected, set().union(*skipped)


def score(probabilities: Floats, expected: npt.ArrayLike) -> dict[str, float]:
    """Micro and macro F1 at a probability of 0.5, and mean average precision, of (N, C).

    Labels that no sample has are left out of the mean average precision.
    """
    from sklearn.metrics import average_precision_score, f1_score

    truth = np.asarray(expected, dtype=np.bool_)
    predicted = probabilities > 0.5
    used = truth.any(axis=0)
    precisions = [
        average_precision_score(truth[:, column], probabilities[:, column])
        for column in np.flatnonzero(used)
    ]
    # scikit-learn would take an (N, 1) array for classes, in which 0 is one too.
    macro = [
        f1_score(truth[:, column], predicted[:, column], zero_division=0.0)
        for column in range(truth.shape[1])
    ]
    return {
        "micro_f1": micro_f1(predicted, truth),
        "macro_f1": float(np.mean(macro)),
        "average_precision": float(np.mean(precisions)) if precisions else 0.0,
    }


def micro_f1(predicted: Flags, expected: Flags) -> float:
    """F1 of all labels (N, C) of all samples together; 0 where none is predicted or true.

    scikit-learn validates at length; a bootstrap calls this thousands of times.
    """
    size = int(predicted.sum()) + int(expected.sum())
    return 2 * int((predicted & expected).sum()) / size if size else 0.0


def summarize(predictions: list[Floats], expected: npt.ArrayLike) -> dict[str, Any]:
    """Scores of probabilities, an array (N, C) for each seed.

    half_width: of the 95 % interval of micro F1, over test samples and seeds; None where
        all predictions are right.
    """
    truth = np.asarray(expected, dtype=np.bool_)
    scores = [score(probabilities, truth) for probabilities in predictions]
    flags = [probabilities > 0.5 for probabilities in predictions]
    return {
        **over_seeds(scores),
        "half_width": repeated_bootstrap(micro_f1, flags, truth),
    }


def compare(
    ours: list[Floats], theirs: list[Floats], expected: npt.ArrayLike
) -> dict[str, float | None]:
    """{difference, half_width} of micro F1, ours - theirs, paired by seed and by sample."""
    truth = np.asarray(expected, dtype=np.bool_)
    first, second = ([one > 0.5 for one in each] for each in (ours, theirs))
    return paired_bootstrap(micro_f1, first, second, truth)
