"""Features of data sets: of an encoder, or input features as a baseline."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from r2mae.data.reader import read_plain
from r2mae.data.source import Batch, SampleSource, batch_labels
from r2mae.errors import InputError
from r2mae.evaluation.inference import current
from r2mae.evaluation.memory import check_memory
from r2mae.masking.mask import Mask
from r2mae.models.frozen_mask import frozen_mask
from r2mae.models.precision import autocast

Features = npt.NDArray[np.float32]
Kind = Literal["embed", "baseline", "forward"]


@dataclass(frozen=True)
class LabelledFeatures:
    """Features (N, D) and class numbers (N,) of one split."""

    features: Features
    labels: npt.NDArray[np.int64]


def extract(
    model: Any,
    source: SampleSource,
    kind: Kind = "embed",
    batch_size: int = 256,
    rows: npt.NDArray[np.int64] | None = None,
    skipped: set[str] | None = None,
    on_batch: Callable[[Batch], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    hidden: float = 0.0,
) -> Features:
    """Features (N, D) float32 of all samples, or of rows in their order, unmasked and without augmentation.

    kind: "embed" calls the encoder, "baseline" returns input features,
    "forward" the outputs of a `Classifier`.
    skipped: collects the names of unreadable samples, which a neighbouring sample replaces.
    on_batch: called with each batch, of which "indices" are the samples that were read.
    progress: called with (samples done, N).
    hidden: share of each sample that is not seen, under the frozen masks of the held-out
    loss. Needs "embed" or "baseline" of a pretraining run.
    """
    (features,) = extract_each(
        [(model, kind)], source, batch_size, rows, skipped, on_batch, progress, hidden
    )
    return features


def extract_each(
    encoders: Sequence[tuple[Any, Kind]],
    source: SampleSource,
    batch_size: int = 256,
    rows: npt.NDArray[np.int64] | None = None,
    skipped: set[str] | None = None,
    on_batch: Callable[[Batch], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    hidden: float = 0.0,
) -> list[Features]:
    """`extract` for several (model, kind); each sample is read once for all of them.

    Models are on one device.

    Raises: InputError where the features do not fit into this machine's memory.
    """
    size = len(source) if rows is None else len(rows)
    parts = [_Rows(size) for _ in encoders]

    def encode(batch: Batch) -> None:
        computed = [_compute(*encoder, batch, hidden) for encoder in encoders]
        if parts[0].is_empty:
            num_bytes = sum(features.nbytes for features in computed)
            what = f"features of {size:,} samples"
            needed = num_bytes / len(batch["indices"]) * size
            check_memory(what, needed, "Use fewer samples.")
        for part, features in zip(parts, computed, strict=True):
            part.append(features)
        if on_batch is not None:
            on_batch(batch)
        if skipped is not None:
            skipped.update(batch.get("skipped", ()))

    models = [model for model, _ in encoders]
    for_each_batch(models, source, encode, batch_size, rows, progress)
    return [part.array for part in parts]


def _compute(model: Any, kind: Kind, batch: Batch, hidden: float) -> Features:
    """Features (B, D) of a batch."""
    method = model if kind == "forward" else getattr(model, kind)
    with _exact(batch) if kind == "baseline" else nullcontext():
        features = method(batch, *hiding_masks(model, batch, hidden))
    return np.asarray(features.float().cpu().numpy())


def _exact(batch: Batch) -> torch.autocast:
    """The context of input features, which no model computes."""
    return torch.autocast(batch["indices"].device.type, enabled=False)


class _Rows:
    """Rows (N, D), allocated once: parts and their concatenation would need twice the memory.

    size: N, mostly. A model of words gives more rows than samples, or fewer.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._filled = 0
        self._rows: Features | None = None  # D is that of the first part

    @property
    def is_empty(self) -> bool:
        """Whether no rows were added."""
        return self._rows is None

    def append(self, part: Features) -> None:
        """Add rows (n, D)."""
        start, end = self._filled, self._filled + len(part)
        if self._rows is None or end > self._size:
            self._size = max(self._size, 2 * end if start else end)
            rows = np.empty((self._size, *part.shape[1:]), dtype=np.float32)
            if self._rows is not None:
                rows[:start] = self._rows[:start]
            self._rows = rows
        self._rows[start:end] = part
        self._filled = end

    @property
    def array(self) -> Features:
        """All rows, at least one."""
        assert self._rows is not None
        return self._rows[: self._filled]


def for_each_batch(
    models: Sequence[nn.Module],
    source: SampleSource,
    visit: Callable[[Batch], None],
    batch_size: int = 256,
    rows: npt.NDArray[np.int64] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Call visit with each batch of the samples, with models in eval mode, without gradients.

    Samples are read, and visit computes, as the `inference` around it says.
    rows, progress: as in `extract`.
    """
    settings, device = current.get(), next(models[0].parameters()).device
    samples = torch.arange(len(source)) if rows is None else torch.from_numpy(rows)
    were_training = [model.training for model in models]
    for model in models:
        model.eval()
    done = 0
    batches = read_plain(source, samples, batch_size, device, settings.workers)
    precision = settings.precision_on(device.type)
    with torch.no_grad(), autocast(device.type, precision):
        for batch in batches:
            visit(batch)
            done = min(done + batch_size, len(samples))
            if progress is not None:
                progress(done, len(samples))
    for model, was_training in zip(models, were_training, strict=True):
        model.train(was_training)


def needed_rows(
    size: int, choices: Sequence[list[npt.NDArray[np.int64]] | None]
) -> npt.NDArray[np.int64]:
    """Rows of the training split to embed: all, or those in a draw.

    choices: draws of rows for each number of labels; None for all rows.
    """
    drawn: list[npt.NDArray[np.int64]] = []
    for draws in choices:
        if draws is None:
            return np.arange(size)
        drawn += draws
    return np.unique(np.concatenate(drawn))


def hiding_masks(model: Any, batch: Batch, hidden: float) -> tuple[Mask, ...]:
    """The frozen mask that hides a share of each sample; none where the share is 0."""
    return (frozen_mask(model, batch, hidden),) if hidden else ()


def extract_labelled(
    model: nn.Module,
    source: SampleSource,
    rows: npt.NDArray[np.int64] | None = None,
    kind: Kind = "embed",
    **options: Any,
) -> LabelledFeatures:
    """`extract` with labels, as `extract_each_labelled`."""
    (features,) = extract_each_labelled([(model, kind)], source, rows, **options)
    return features


def extract_each_labelled(
    encoders: Sequence[tuple[nn.Module, Kind]],
    source: SampleSource,
    rows: npt.NDArray[np.int64] | None = None,
    **options: Any,
) -> list[LabelledFeatures]:
    """`extract_each` with labels; a neighbour that replaces an unreadable sample keeps its own.

    Raises: InputError when the data has none.
    """
    require_labels(source)
    labels: list[npt.NDArray[np.int64]] = []
    features = extract_each(
        encoders,
        source,
        rows=rows,
        on_batch=lambda batch: labels.append(batch_labels(source, batch)),
        **options,
    )
    joined = np.concatenate(labels)
    return [LabelledFeatures(array, joined) for array in features]


def require_labels(source: SampleSource) -> npt.NDArray[np.int64]:
    """(N,) class numbers.

    Raises: InputError when the data has none.
    """
    labels = source.labels
    if labels is None:
        raise InputError(
            f"data must have labels for this task, got {source.labels_absent}"
        )
    return labels


def check_classes(train: SampleSource, test: SampleSource) -> None:
    """Check that training has at least 2 classes, and every class of the test split, which has some.

    Raises: InputError otherwise.
    """
    trained, tested = np.unique(require_labels(train)), np.unique(require_labels(test))
    for split, classes in (("training", trained), ("test", tested)):
        if not len(classes):
            raise InputError(
                f"the {split} split must hold samples with a label for this task, got none. "
                "A label of -1 is none: use a split with labels, such as that for validation."
            )
    if len(trained) < 2:
        name = train.class_names.get(int(trained[0]), trained[0])
        raise InputError(
            f"data must hold at least 2 classes for this task, got only {name}. Use other data."
        )
    for number in np.intersect1d(trained, tested).tolist():
        here, there = train.class_names.get(number), test.class_names.get(number)
        if here != there:
            raise InputError(
                f"the test split must number classes as the training split does, got {there!r} for {number}, "
                f"which is {here!r} there. Correct the label column."
            )
    untrained = np.setdiff1d(tested, trained).tolist()
    if untrained:
        names = sorted(test.class_names.get(label, str(label)) for label in untrained)
        some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise InputError(
            "the test split must hold only classes that the training split has, "
            f"got {len(names)} more: {some}. "
            "Add them to the training split, or take them out of the test split."
        )
