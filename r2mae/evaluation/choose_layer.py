"""Choose the layer to read on held-out samples of the training split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.source import SampleSource, with_labels
from r2mae.errors import InputError
from r2mae.evaluation.features import (
    LabelledFeatures,
    check_classes,
    extract_labelled,
    require_labels,
)
from r2mae.evaluation.probe import ProbeTask, probe_predictions
from r2mae.evaluation.read_encoder import num_layers, read_encoder
from r2mae.evaluation.read_out import ReadOut
from r2mae.metrics.few_label import few_label_draws
from r2mae.models.pooling import Pool
from r2mae.progress import progress_bar, status_line

Integers = npt.NDArray[np.int64]
MOST_SAMPLES = 10_000
_ONE_IN = 5  # samples of a class are held out
_SEED, _DRAWS = 0, 10
Choices = dict[str, list[Integers] | None]  # labels per class -> draws


@dataclass(frozen=True)
class LayerChoice:
    """The layer with the highest accuracy on held-out samples of the training split.

    trained, held_out: numbers of samples.
    accuracy: layer -> task -> labels per class, or "all" -> accuracy. The choice has the
        highest mean over tasks and numbers of labels.
    """

    layer: int
    trained: int
    held_out: int
    accuracy: dict[int, dict[str, dict[str, float]]]

    def to_dict(self) -> dict[str, Any]:
        """JSON-serializable fields."""
        accuracy = {str(layer): scores for layer, scores in self.accuracy.items()}
        return {
            "layer": self.layer,
            "trained": self.trained,
            "held_out": self.held_out,
            "accuracy": accuracy,
        }


def choose_layer(
    loaded: Any,
    recipe: Any,
    pool: Pool | None,
    tasks: Sequence[str],
    labels_per_class: Sequence[int | None] = (None,),
) -> LayerChoice:
    """Probe every layer of a `LoadedRun` with a fifth of the training split held out.

    At most 10,000 samples are used, drawn at random. The test split is not read.
    tasks: kNN and linear probes among them make the choice; without one, a linear probe.
    labels_per_class: of the probes; None for all. The held-out labels come on top.

    Raises: InputError for data without labels, or fewer than 5 samples of every class.
    """
    train = with_labels(loaded.wing.open_split(recipe, "train"))
    check_classes(train, train)
    probes: list[ProbeTask] = [
        task for task in ("knn", "linear_probe") if task in tasks
    ]
    fitted, held_out = hold_out(require_labels(train))
    choices = _draw(train, fitted, labels_per_class)
    accuracy: dict[int, dict[str, dict[str, float]]] = {}
    means: dict[int, float] = {}
    for layer in range(1, num_layers(loaded.model) + 1):
        encoder = read_encoder(loaded.model, ReadOut(layer, pool))
        split = _extract(encoder, layer, train, (fitted, held_out))
        accuracy[layer] = {
            task: _score(task, layer, split, choices)
            for task in probes or ["linear_probe"]
        }
        scores = [list(by_count.values()) for by_count in accuracy[layer].values()]
        means[layer] = float(np.mean(scores))
    best = max(means, key=lambda layer: (means[layer], layer))
    return LayerChoice(best, len(fitted), len(held_out), accuracy)


def hold_out(labels: Integers) -> tuple[Integers, Integers]:
    """(rows to train on, rows held out), rising: a fifth of each class, rounded down.

    Raises: InputError where no class has 5 samples.
    """
    order = np.random.default_rng(_SEED).permutation(len(labels))[:MOST_SAMPLES]
    held_out = [np.empty(0, dtype=np.int64)]
    for label in np.unique(labels[order]):
        of_class = order[labels[order] == label]
        held_out.append(of_class[: len(of_class) // _ONE_IN])
    rows = np.sort(np.concatenate(held_out))
    if not len(rows):
        raise InputError(
            f"the training split must have at least {_ONE_IN} labelled samples of a "
            "class for --layer auto, got fewer of every class. Name a layer."
        )
    return np.setdiff1d(order, rows), rows


def _draw(
    train: SampleSource, fitted: Integers, counts: Sequence[int | None]
) -> Choices:
    """Labels per class -> draws of places in fitted, or None for all.

    Classes of which fitted has fewer lower the number of labels.
    """
    labels = require_labels(train)[fitted]
    smallest = int(np.unique(labels, return_counts=True)[1].min())
    choices: Choices = {}
    for count in counts:
        if count is None:
            choices["all"] = None
            continue
        few = min(count, smallest)
        names = train.class_names
        choices[str(count)] = few_label_draws(labels, few, _DRAWS, _SEED, names)
    return choices


def _extract(
    encoder: Any, layer: int, source: SampleSource, rows: tuple[Integers, Integers]
) -> tuple[LabelledFeatures, LabelledFeatures]:
    """Features of the rows to train on, and of those held out."""
    progress = progress_bar(f"features of layer {layer}")
    data = extract_labelled(encoder, source, np.concatenate(rows), progress=progress)
    cut = len(rows[0])
    return (
        LabelledFeatures(data.features[:cut], data.labels[:cut]),
        LabelledFeatures(data.features[cut:], data.labels[cut:]),
    )


def _score(
    task: ProbeTask,
    layer: int,
    split: tuple[LabelledFeatures, LabelledFeatures],
    choices: Choices,
) -> dict[str, float]:
    """Labels per class -> accuracy on held-out samples, the mean over draws."""
    accuracy = {}
    for count, draws in choices.items():
        with status_line(f"layer {layer}, {task}") as status:
            predicted = probe_predictions(task, *split, draws=draws, status=status)
        accuracy[count] = float((predicted == split[1].labels).mean())
    return accuracy
