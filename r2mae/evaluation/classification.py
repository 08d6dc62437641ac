"""A trained classifier on a split that it is asked about once: right answers, and how sure their share is."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from r2mae.data.source import SampleSource, batch_labels
from r2mae.errors import InputError
from r2mae.evaluation.features import extract
from r2mae.metrics.interval import mean_interval

Integers = npt.NDArray[np.int64]


def predict(
    model: nn.Module,
    source: SampleSource,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Integers, Integers, set[str]]:
    """(predicted classes (N,), labels (N,) of what was read, names of unreadable samples) of a source.

    No augmentation; a neighbour stands in for an unreadable sample, with its own label.
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
    """Class numbers (N,) of labels of a source, as the head counts them.

    Raises: InputError for labels that training did not have.
    """
    known = np.asarray(classes)
    strangers = np.setdiff1d(labels, known)
    if len(strangers):
        names = ", ".join(
            source.class_names.get(number, str(number))
            for number in strangers[:5].tolist()
        )
        raise InputError(
            f"the test split must hold classes of the training split alone, got {len(strangers)} more: {names}. "
            "Add them to the training split, or take them out of the test split."
        )
    return head_numbers(labels, known)


def head_numbers(labels: Integers, classes: Integers) -> Integers:
    """Place of each label (N,) among classes (C,), in whatever order these stand; anything for others."""
    order = np.argsort(classes)
    places = np.searchsorted(classes, labels, sorter=order)
    return order[np.minimum(places, len(classes) - 1)]


def accuracy_and_f1(predicted: Integers, expected: Integers) -> dict[str, float]:
    """Share of right answers, F1 averaged over classes, Matthews' correlation, of predictions (N,) for labels (N,)."""
    from sklearn.metrics import f1_score, matthews_corrcoef

    f1 = f1_score(expected, predicted, average="macro", zero_division=0.0)
    return {
        "accuracy": float((predicted == expected).mean()),
        "macro_f1": float(f1),
        "matthews": float(matthews_corrcoef(expected, predicted)),
    }


@dataclass(frozen=True)
class SeedScore:
    """Test scores over seeds: means, and 95 % half-widths of accuracy.

    over_seeds: by Student's t over the seeds' accuracies; None for one seed.
    over_items: for the mean of these seeds, by the normal approximation over test items; None for one item.
    matthews_over_seeds, matthews_over_items: the same of Matthews' correlation, over items by the bootstrap.
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
        """Plain numbers."""
        return asdict(self)


def summarize(predictions: list[Integers], expected: Integers) -> SeedScore:
    """One row of a table from the predictions (N,) of every seed."""
    right = np.stack([predicted == expected for predicted in predictions]).astype(
        np.float64
    )
    accuracy, over_seeds, over_items = _means(right)
    scores = [accuracy_and_f1(predicted, expected) for predicted in predictions]
    f1, matthews = (
        float(np.mean([score[name] for score in scores]))
        for name in ("macro_f1", "matthews")
    )
    seeds = tuple(right.mean(axis=1).tolist())
    spread = (
        mean_interval([score["matthews"] for score in scores])[1]
        if len(scores) > 1
        else None
    )
    drawn = _matthews_over_items(predictions, expected)
    return SeedScore(
        accuracy, f1, matthews, over_seeds, over_items, seeds, spread, drawn
    )


def _matthews_over_items(
    predictions: list[Integers], expected: Integers, draws: int = 1000
) -> float | None:
    """95 % half-width of the mean over seeds: 1.96 standard deviations over bootstrap samples of the test items.

    Source: Gorodkin 2004 for several classes.
    """
    if len(expected) < 2:
        return None
    # Items that were answered alike are alike: what is drawn is how many of each kind there are.
    kinds, sizes = np.unique(
        np.stack([expected, *predictions]), axis=1, return_counts=True
    )
    drawn = (
        np.random.default_rng(0)
        .multinomial(len(expected), sizes / len(expected), draws)
        .astype(np.float64)
    )
    truth, *answers = (np.eye(int(kinds.max()) + 1)[row] for row in kinds)
    total, found = float(len(expected)), np.zeros(draws)
    true_counts = drawn @ truth
    for answer in answers:
        counts, right = drawn @ answer, drawn @ (truth * answer).sum(axis=1)
        spread = (total**2 - (counts**2).sum(axis=1)) * (
            total**2 - (true_counts**2).sum(axis=1)
        )
        shared = right * total - (counts * true_counts).sum(axis=1)
        found += np.divide(
            shared, np.sqrt(spread), out=np.zeros(draws), where=spread > 0
        )
    return float(1.96 * np.std(found / len(answers), ddof=1))


def compare(
    ours: list[Integers], theirs: list[Integers], expected: Integers
) -> dict[str, float | None]:
    """{difference, over_seeds, over_items} of accuracy, ours - theirs, paired by seed and by item."""
    pairs = zip(ours, theirs, strict=True)
    differences = np.stack(
        [(mine == expected) * 1.0 - (other == expected) for mine, other in pairs]
    )
    difference, over_seeds, over_items = _means(differences)
    return {
        "difference": difference,
        "over_seeds": over_seeds,
        "over_items": over_items,
    }


def _means(values: npt.NDArray[np.float64]) -> tuple[float, float | None, float | None]:
    """(mean, 95 % half-width over seeds, over items) of values (seeds, items)."""
    mean, over_seeds = mean_interval(values.mean(axis=1))
    items = values.mean(axis=0)
    over_items = (
        float(1.96 * items.std(ddof=1) / np.sqrt(len(items)))
        if len(items) > 1
        else None
    )
    return mean, over_seeds if len(values) > 1 else None, over_items
