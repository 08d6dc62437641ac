"""Tokens of an encoder, kept in memory for probes.

Shapes: B samples, T tokens of K features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from r2mae.data.source import Batch, SampleSource, batch_labels
from r2mae.evaluation.features import for_each_batch, hiding_masks
from r2mae.evaluation.memory import check_memory

Integers = npt.NDArray[np.int64]
_LARGEST = torch.finfo(torch.float16).max


@dataclass(frozen=True)
class TokenSet:
    """Tokens (T, K) float16 of each sample, and class numbers (N,)."""

    tokens: list[Tensor]
    labels: Integers

    def joined(self, other: "TokenSet") -> "TokenSet":
        """These samples, then those of the other."""
        labels = np.concatenate([self.labels, other.labels])
        return TokenSet(self.tokens + other.tokens, labels)

    def batch(self, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        """(tokens (..., T, K) float32, is_token (..., T)) of samples rows (...)."""
        chosen = [self.tokens[row] for row in rows.flatten().tolist()]
        lengths = torch.tensor([len(tokens) for tokens in chosen])
        padded = pad_sequence(chosen, batch_first=True)
        is_token = torch.arange(padded.shape[1]) < lengths[:, None]
        shape = (*rows.shape, padded.shape[1])
        padded, is_token = padded.view(*shape, -1), is_token.view(shape)
        return padded.to(device).float(), is_token.to(device)


def extract_tokens(
    model: Any,
    source: SampleSource,
    rows: Integers | None = None,
    progress: Callable[[int, int], None] | None = None,
    hidden: float = 0.0,
    sets: int = 1,
) -> TokenSet:
    """Tokens of all samples, or of rows in their order, on the CPU.

    hidden: share of each sample that is not seen, as in `extract`.
    sets: how many sets of this size will be in memory at once.

    Raises: InputError where they would fill more than half of this machine's memory.
    """
    size = len(source) if rows is None else len(rows)
    samples: list[Tensor] = []
    labels: list[Integers] = []

    def keep(batch: Batch) -> None:
        tokens, is_token = model.embed_tokens(
            batch, *hiding_masks(model, batch, hidden)
        )
        flat = tokens[is_token].float().clamp(-_LARGEST, _LARGEST).half().cpu()
        if not samples:
            what = f"tokens of {size:,} training samples for attentive_probe"
            needed = flat.nbytes / len(tokens) * size * sets
            check_memory(what, needed, "Use fewer labels per class.", divisor=2)
        samples.extend(flat.split(is_token.sum(dim=1).tolist()))
        labels.append(batch_labels(source, batch))

    for_each_batch([model], source, keep, rows=rows, progress=progress)
    return TokenSet(samples, np.concatenate(labels))
