"""Features of whole data sets: of an encoder, or of the raw input that it has to beat."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from r2mae.data.source import Batch, SampleSource, batch_labels, load_plain
from r2mae.errors import InputError

Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LabelledFeatures:
    """Features (N, D) and class numbers (N,) of one split."""

    features: Features
    labels: npt.NDArray[np.int64]


def extract(
    model: nn.Module,
    source: SampleSource,
    kind: Literal["embed", "baseline", "forward"] = "embed",
    batch_size: int = 256,
    rows: npt.NDArray[np.int64] | None = None,
    skipped: set[str] | None = None,
    on_batch: Callable[[Batch], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Features (N, D) float32 of all samples or of some rows, in that order, nothing hidden, no augmentation.

    kind: "embed" asks the encoder, "baseline" gives the raw input as the model would see it, "forward" the answers of
    a `Classifier`.
    skipped: takes the names of unreadable samples, for which a neighbour stands in. on_batch: is shown each
    batch, of which "indices" name the samples that were read.
    """
    device = next(model.parameters()).device
    wanted = torch.arange(len(source)) if rows is None else torch.from_numpy(rows)
    done = 0
    parts: list[Features] = []
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for indices in wanted.split(batch_size):
            batch = load_plain(source, indices, device)
            parts.append(
                (model if kind == "forward" else getattr(model, kind))(batch)
                .float()
                .cpu()
                .numpy()
            )
            done += len(indices)
            if on_batch is not None:
                on_batch(batch)
            if skipped is not None:
                skipped.update(batch.get("skipped", ()))
            if progress is not None:
                progress(done, len(wanted))
    model.train(was_training)
    return np.concatenate(parts)


def extract_labelled(
    model: nn.Module,
    source: SampleSource,
    rows: npt.NDArray[np.int64] | None = None,
    **options: Any,
) -> LabelledFeatures:
    """`extract` with labels; a neighbour that stands in for an unreadable sample brings its own.

    Raises: InputError when the data has none.
    """
    require_labels(source)
    labels: list[npt.NDArray[np.int64]] = []
    features = extract(
        model,
        source,
        rows=rows,
        on_batch=lambda batch: labels.append(batch_labels(source, batch)),
        **options,
    )
    return LabelledFeatures(features, np.concatenate(labels))


def require_labels(source: SampleSource) -> npt.NDArray[np.int64]:
    """(N,) class numbers.

    Raises: InputError when the data has none, saying what it has instead.
    """
    if source.labels is None:
        raise InputError(
            f"data must have labels for this task, got {source.labels_absent}"
        )
    return source.labels


def check_classes(train: SampleSource, test: SampleSource) -> None:
    """Raise InputError unless training shows at least 2 classes, and each that the test split asks for."""
    known, asked = np.unique(require_labels(train)), np.unique(require_labels(test))
    if len(known) < 2:
        name = train.class_names.get(int(known[0]), known[0])
        raise InputError(
            f"data must hold at least 2 classes for this task, got only {name}. Use other data."
        )
    for number in np.intersect1d(known, asked).tolist():
        here, there = train.class_names.get(number), test.class_names.get(number)
        if here != there:
            raise InputError(
                f"the test split must number classes as the training split does, got {there!r} for {number}, "
                f"which is {here!r} there. Mend the label column."
            )
    new = [
        test.class_names.get(number, str(number))
        for number in np.setdiff1d(asked, known).tolist()
    ]
    if new:
        some = ", ".join(sorted(new)[:5]) + (", ..." if len(new) > 5 else "")
        remedy = "Add them to the training split, or take them out of the test split."
        rule = "hold only classes that the training split has"
        raise InputError(
            f"the test split must {rule}, got {len(new)} more: {some}. {remedy}"
        )
