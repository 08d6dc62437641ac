"""Accuracy and cross-entropy on masked tokens of held-out rows, over a grid of mask ratios.

Masks depend on a row's index and the ratio alone, so that scores of different runs are comparable.
All masked tokens become [MASK], whatever the run's `mask.replacement`.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.data.source import Batch, SampleSource
from r2mae.evaluation.features import for_each_batch
from r2mae.metrics.interval import share_interval
from r2mae.models.frozen_mask import frozen_mask

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MaskedScore:
    """Accuracy and mean cross-entropy (nats per token) of masked tokens at one ratio.

    tokens: number of masked tokens.
    half_width: of accuracy's 95 % interval, over rows.
    unigram_*: the same scores of the unigram baseline, the token frequencies of training rows.
    """

    ratio: float
    tokens: int
    accuracy: float
    half_width: float
    loss: float
    unigram_accuracy: float
    unigram_loss: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-serializable fields, and the perplexity, exp(loss)."""
        return asdict(self) | {"perplexity": math.exp(min(self.loss, 700))}


def count_tokens(model: Any, source: SampleSource, most: int = 2000) -> Tensor:
    """(V,) token counts, plus 1, in at most `most` evenly spaced rows; 0 for special tokens."""
    counts = torch.ones(model.vocabulary.size, dtype=torch.float64)
    rows = torch.linspace(
        0, len(source) - 1, min(most, len(source)), dtype=torch.float64
    ).long()
    for part in rows.split(256):
        ids = source.load(part, None, 0)["input_ids"].flatten()
        counts += torch.bincount(ids, minlength=len(counts))
    counts[model.is_special.cpu()] = 0
    return counts


def score_masked(
    model: Any,
    source: SampleSource,
    counts: Tensor,
    ratios: list[float],
    batch_size: int = 32,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> list[MaskedScore]:
    """Score all rows of a source at each mask ratio.

    counts: (V,) `count_tokens` of training rows, for the unigram baseline.
    progress: called with (rows done, rows of the source).
    """
    unigram = counts.to(next(model.parameters()).device)
    columns: list[list[Floats]] = [[] for _ in ratios]

    def score(batch: Batch) -> None:
        for parts, ratio in zip(columns, ratios, strict=True):
            parts.append(_score_rows(model, batch, ratio, unigram))

    for_each_batch([model], source, score, batch_size, progress=progress)
    return [
        _summarize(ratio, np.concatenate(parts))
        for ratio, parts in zip(ratios, columns, strict=True)
    ]


def _score_rows(model: Any, batch: Batch, ratio: float, unigram: Tensor) -> Floats:
    """(B, 5) sums over masked tokens: tokens, hits, unigram hits, loss, unigram loss.

    The model gives one loss for the batch, which is stored in the first row.
    """
    ids = batch["input_ids"]
    mask = frozen_mask(model, batch, ratio)
    output, slots = model(batch, mask), mask.is_masked.flatten().nonzero()[:, 0]
    targets = ids.flatten()[slots]
    hits, unigram_hits = output.predictions == targets, targets == unigram.argmax()
    terms = [
        torch.ones_like(targets),
        hits,
        unigram_hits,
        torch.zeros_like(targets),
        -(unigram / unigram.sum()).log()[targets],
    ]
    sums = torch.zeros(len(ids), len(terms), dtype=torch.float64, device=ids.device)
    stacked = torch.stack([term.double() for term in terms], dim=1)
    sums.index_add_(0, slots // ids.shape[1], stacked)
    sums[0, 3] = output.loss.total.double()
    return np.asarray(sums.cpu().numpy())


def _summarize(ratio: float, rows: Floats) -> MaskedScore:
    """The score at a ratio from rows (N, 5), columns as in `_score_rows`."""
    tokens, _, unigram_hits, loss, unigram_loss = rows.sum(axis=0).tolist()
    accuracy, half_width = share_interval(rows[:, 1], rows[:, 0])
    return MaskedScore(
        ratio=ratio,
        tokens=int(tokens),
        accuracy=accuracy,
        half_width=half_width,
        loss=loss / tokens,
        unigram_accuracy=unigram_hits / tokens,
        unigram_loss=unigram_loss / tokens,
    )
