"""Cross-entropy of a run and of context counts on the same masked bases of held-out windows.

Masks depend only on a window's index and the ratio. All masked bases become [MASK].
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor

from r2mae.data.source import Batch, SampleSource, load_plain
from r2mae.metrics.interval import none_if_nan, ratio_interval
from r2mae.modalities.dna.base_counts import (
    SIDE,
    CountModel,
    count_contexts,
    count_models,
)
from r2mae.training.pretraining_validation import frozen_mask

Floats = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BaseScore:
    """Cross-entropies at one ratio, in nats per base, and accuracy.

    loss, accuracy: of the run; accuracy is per token, so per k-mer for runs on k-mers.
    count_loss: of the best of five count models, chosen on the same bases.
    order_0_loss: of base frequencies.
    difference: loss - count_loss.
    half_width: of the 95 % interval of difference, by the normal approximation over
        windows; None for one window.
    """

    ratio: float
    bases: int
    loss: float
    accuracy: float
    count_loss: float
    order_0_loss: float
    difference: float
    half_width: float | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-serializable fields."""
        return asdict(self)


def score_bases(
    model: Any,
    train: SampleSource,
    test: SampleSource,
    ratios: list[float],
    *,
    kmer: int = 1,
    batch_size: int = 32,
    progress: Progress = lambda *_: None,
    counting: Progress = lambda *_: None,
) -> list[BaseScore]:
    """A score for each ratio on all windows of test; contexts are counted in train.

    kmer: bases in one of the model's tokens.
    progress, counting: called with (windows done, windows) of test and of train.
    """
    counts = count_contexts(train, progress=counting)
    models = count_models(counts)
    flanks = (*range(SIDE), *range(SIDE + 1, counts.ndim))
    base_counts = counts.sum(axis=flanks)
    order_0 = -np.log(base_counts / base_counts.sum())
    device = next(model.parameters()).device
    model.eval()
    columns: list[list[Floats]] = [[] for _ in ratios]
    with torch.no_grad():
        for indices in torch.arange(len(test)).split(batch_size):
            batch = load_plain(test, indices, device)
            bases = batch["bases"].cpu()
            for parts, ratio in zip(columns, ratios, strict=True):
                by_run, is_masked = _score_tokens(model, batch, ratio)
                is_hidden = hidden_bases(is_masked, bases, kmer)
                by_counts = _score_counts(bases, is_hidden, order_0, models)
                parts.append(np.hstack([by_run, by_counts]))
            progress(int(indices[-1]) + 1, len(test))
    return [
        _summarize(ratio, np.concatenate(parts))
        for ratio, parts in zip(ratios, columns, strict=True)
    ]


def _score_tokens(model: Any, batch: Batch, ratio: float) -> tuple[Floats, Tensor]:
    """((B, 3) sums per window: loss, correct and all masked tokens; is_masked (B, tokens)).

    is_masked is on the CPU.
    """
    mask = frozen_mask(model, batch, ratio)
    logits, (labels, _) = model.logits(batch, mask), model.named_targets(batch, mask)
    loss = F.cross_entropy(logits, labels, reduction="none").double().cpu().numpy()
    hits = (logits.argmax(dim=1) == labels).double().cpu().numpy()
    is_masked = mask.is_masked.cpu()
    window = is_masked.nonzero()[:, 0].numpy()
    terms = (loss, hits, np.ones_like(loss))
    sums = [np.bincount(window, term, len(is_masked)) for term in terms]
    return np.stack(sums, axis=1), is_masked


def _score_counts(
    bases: Tensor, is_hidden: Tensor, order_0: Floats, models: list[CountModel]
) -> Floats:
    """(B, 2 + models) sums per window: masked bases, order-0 loss, count models' losses."""
    window = is_hidden.nonzero()[:, 0].numpy()
    terms = [np.ones(len(window)), order_0[bases[is_hidden].numpy()]]
    terms += [model.losses(bases, is_hidden) for model in models]
    sums = [np.bincount(window, term, len(bases)) for term in terms]
    return np.stack(sums, axis=1)


def hidden_bases(is_masked: Tensor, bases: Tensor, kmer: int) -> Tensor:
    """(B, N) bool: bases whose token is masked.

    is_masked: (B, N), or (B, N / kmer + 2) for k-mers between two special tokens.
    """
    if is_masked.shape == bases.shape:
        return is_masked
    inner = is_masked[:, 1:-1].repeat_interleave(kmer, dim=1)
    return F.pad(inner, (0, bases.shape[1] - inner.shape[1]))


def _summarize(ratio: float, rows: Floats) -> BaseScore:
    """The score of rows (windows, 5 + models) of both parts of `score_bases`."""
    loss, hits, tokens, bases, order_0, *counted = rows.sum(axis=0).tolist()
    best = int(np.argmin(counted))
    difference, half_width = ratio_interval(rows[:, 0] - rows[:, 5 + best], rows[:, 3])
    return BaseScore(
        ratio=ratio,
        bases=int(bases),
        loss=loss / bases,
        accuracy=hits / tokens,
        count_loss=counted[best] / bases,
        order_0_loss=order_0 / bases,
        difference=difference,
        half_width=none_if_nan(half_width),
    )
