"""Batches and features of samples in memory, for `LoadedRun.prepare` and `embed`."""

import warnings
from typing import TYPE_CHECKING, Any

import torch

from r2mae.data.source import Batch, SampleSource, load_plain
from r2mae.errors import InputError
from r2mae.evaluation.features import Features, extract

if TYPE_CHECKING:
    from torch import nn


def load_samples(source: SampleSource, device: torch.device) -> Batch:
    """All samples of a source as one batch on a device, without augmentation."""
    return load_plain(source, torch.arange(len(source)), device)


def embed_samples(model: "nn.Module", source: Any, batch_size: int) -> Features:
    """(N, D) features; a warning for what the source leaves out.

    Raises: InputError for a batch size that is no number from 1.
    """
    if not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(
            f"batch_size must be a whole number from 1, got {batch_size!r}."
        )
    if note := getattr(source, "note", ""):
        warnings.warn(f"left out: {note}", stacklevel=3)
    return extract(model, source, batch_size=batch_size)
