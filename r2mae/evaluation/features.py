"""Features of whole data sets: of an encoder, or of the raw input that it has to beat."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from r2mae.datasets.source import SampleSource
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
    kind: Literal["embed", "baseline"] = "embed",
    batch_size: int = 256,
    rows: npt.NDArray[np.int64] | None = None,
    skipped: set[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Features (N, D) float32 of all samples or of some rows, in that order, nothing hidden, no augmentation.

    kind: "embed" asks the encoder, "baseline" gives the raw input as the model would see it.
    skipped: takes the names of unreadable samples, for which a neighbour stands in.
    """
    device = next(model.parameters()).device
    wanted = torch.arange(len(source)) if rows is None else torch.from_numpy(rows)
    done = 0
    parts: list[Features] = []
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for indices in wanted.split(batch_size):
            batch = source.load(indices, None, 0)
            moved: dict[str, Any] = {
                key: value.to(device) if isinstance(value, Tensor) else value for key, value in batch.items()
            }
            parts.append(getattr(model, kind)(moved).float().cpu().numpy())
            done += len(indices)
            if skipped is not None:
                skipped.update(batch.get("skipped", ()))
            if progress is not None:
                progress(done, len(wanted))
    model.train(was_training)
    return np.concatenate(parts)


def extract_labelled(
    model: nn.Module, source: SampleSource, rows: npt.NDArray[np.int64] | None = None, **options: Any
) -> LabelledFeatures:
    """`extract` with labels.

    Raises: InputError when the data has none.
    """
    labels = require_labels(source)
    return LabelledFeatures(extract(model, source, rows=rows, **options), labels if rows is None else labels[rows])


def require_labels(source: SampleSource) -> npt.NDArray[np.int64]:
    """(N,) class numbers.

    Raises: InputError when the data has none.
    """
    if source.labels is None:
        remedy = "Use a card with a label column or class folders."
        raise InputError(f"data must have labels for this task, got none. {remedy}")
    return source.labels
