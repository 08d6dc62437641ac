"""Batches and features of samples in memory, for `LoadedRun.prepare` and `embed`."""

import warnings
from typing import TYPE_CHECKING, Any

import torch

from r2mae.data.source import Batch, SampleSource, load_plain
from r2mae.errors import InputError
from r2mae.evaluation.features import Features, extract, for_each_batch

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import nn


def load_samples(source: SampleSource, device: torch.device) -> Batch:
    """All samples of a source as one batch on a device, without augmentation."""
    return load_plain(source, torch.arange(len(source)), device)


def embed_samples(model: "nn.Module", source: Any, batch_size: int) -> Features:
    """(N, D) features; a warning for what the source leaves out.

    Raises: InputError for a batch size that is no number from 1.
    """
    _check(source, batch_size)
    return extract(model, source, batch_size=batch_size)


def embed_sample_tokens(
    model: Any, source: Any, batch_size: int
) -> "list[npt.NDArray[np.float32]]":
    """Tokens (T, K) of each sample, otherwise as `embed_samples`."""
    _check(source, batch_size)
    samples: list[npt.NDArray[np.float32]] = []

    def keep(batch: Batch) -> None:
        tokens, is_token = model.embed_tokens(batch)
        for row, is_own in zip(tokens, is_token, strict=True):
            samples.append(row[is_own].float().cpu().numpy())

    for_each_batch([model], source, keep, batch_size)
    return samples


def _check(source: Any, batch_size: int) -> None:
    """Check the batch size, and warn of what the source leaves out."""
    if not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(
            f"batch_size must be a whole number from 1, got {batch_size!r}."
        )
    if note := getattr(source, "note", ""):
        warnings.warn(f"left out: {note}", stacklevel=4)
