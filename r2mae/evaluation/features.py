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
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Features (N, D) float32 of the first `limit` samples, in index order, nothing hidden, no augmentation.

    kind: "embed" asks the encoder, "baseline" gives the raw input as the model would see it.
    """
    device = next(model.parameters()).device
    total = len(source) if limit is None else min(limit, len(source))
    parts: list[Features] = []
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for indices in torch.arange(total).split(batch_size):
            batch = source.load(indices, None, 0)
            moved: dict[str, Any] = {
                key: value.to(device) if isinstance(value, Tensor) else value for key, value in batch.items()
            }
            parts.append(getattr(model, kind)(moved).float().cpu().numpy())
            if progress is not None:
                progress(min(total, int(indices[-1]) + 1), total)
    model.train(was_training)
    return np.concatenate(parts)


def extract_labelled(model: nn.Module, source: SampleSource, **options: Any) -> LabelledFeatures:
    """`extract` with labels.

    Raises: InputError when the data has none.
    """
    if source.labels is None:
        raise InputError(
            "data must have labels for this task, got none. Use a card with a label column or class folders."
        )
    features = extract(model, source, **options)
    return LabelledFeatures(features, source.labels[: len(features)])
