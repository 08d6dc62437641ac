"""A trained classifier on a split that it is asked about once: right answers, and how sure their share is."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from r2mae.datasets.source import SampleSource, load_plain
from r2mae.errors import InputError
from r2mae.evaluation.features import require_labels
from r2mae.metrics.interval import mean_interval

Integers = npt.NDArray[np.int64]


def predict(
    model: nn.Module,
    source: SampleSource,
    batch_size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> Integers:
    """Class numbers (N,) of all samples of a source, no augmentation; the model is left in evaluation mode."""
    device = next(model.parameters()).device
    model.eval()
    parts: list[Integers] = []
    done = 0
    with torch.no_grad():
        for indices in torch.arange(len(source)).split(batch_size):
            parts.append(model(load_plain(source, indices, device)).argmax(dim=1).cpu().numpy())
            done += len(indices)
            if progress is not None:
                progress(done, len(source))
    return np.concatenate(parts)


def truth(source: SampleSource, classes: Sequence[int]) -> Integers:
    """Class numbers (N,) of a source's labels, as the head counts them.

    Raises: InputError for labels that training did not have.
    """
    labels, known = require_labels(source), np.asarray(classes)
    strangers = np.setdiff1d(labels, known)
    if len(strangers):
        names = ", ".join(source.class_names.get(number, str(number)) for number in strangers[:5].tolist())
        raise InputError(
            f"the test split must hold classes of the training split alone, got {len(strangers)} more: {names}. "
            "Add them to the training split, or take them out of the test split."
        )
    return np.searchsorted(known, labels)


def accuracy_and_f1(predicted: Integers, expected: Integers) -> dict[str, float]:
    """Share of right answers, and F1 averaged over classes, of predictions (N,) for labels (N,)."""
    from sklearn.metrics import f1_score

    f1 = f1_score(expected, predicted, average="macro", zero_division=0.0)
    return {"accuracy": float((predicted == expected).mean()), "macro_f1": float(f1)}


@dataclass(frozen=True)
class SeedScore:
    """Test scores over seeds: means, and 95 % half-widths of accuracy.

    over_seeds: by Student's t over the seeds' accuracies; None for one seed.
    over_items: for the mean of these seeds, by the normal approximation over test items.
    """

    accuracy: float
    macro_f1: float
    over_seeds: float | None
    over_items: float
    seeds: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self)


def summarize(predictions: list[Integers], expected: Integers) -> SeedScore:
    """One row of a table from the predictions (N,) of every seed."""
    found = [accuracy_and_f1(predicted, expected) for predicted in predictions]
    accuracies = [score["accuracy"] for score in found]
    mean, half_width = mean_interval(accuracies)
    right = np.mean([predicted == expected for predicted in predictions], axis=0)
    return SeedScore(
        accuracy=mean,
        macro_f1=float(np.mean([score["macro_f1"] for score in found])),
        over_seeds=half_width if len(found) > 1 else None,
        over_items=float(1.96 * right.std(ddof=1) / np.sqrt(len(right))) if len(right) > 1 else 0.0,
        seeds=tuple(accuracies),
    )
