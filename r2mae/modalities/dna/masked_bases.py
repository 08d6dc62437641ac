"""Cross-entropy of a run and of counts on the same masked bases of held-out windows.

Counts are of contexts on the reference and, on an alignment, of its columns. Masks depend
only on a window's index and the ratio. All masked bases become [MASK].
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor

from r2mae.data.source import Batch, SampleSource
from r2mae.errors import InputError
from r2mae.evaluation.features import for_each_batch
from r2mae.masking.mask import Mask
from r2mae.metrics.interval import none_if_nan, ratio_interval
from r2mae.modalities.dna.base_counts import (
    SIDE,
    CountModel,
    count_contexts,
    count_models,
)
from r2mae.modalities.dna.column_counts import (
    ColumnModel,
    column_models,
    count_columns,
)
from r2mae.models.frozen_mask import frozen_mask

Floats = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BaseScore:
    """Cross-entropies at one ratio, in nats per base, and accuracy.

    loss, accuracy: of the run; accuracy is per token, so per k-mer for runs on k-mers.
    count_loss: of the best of five models of contexts, chosen on the same bases.
    column_loss: of the best of five models of columns, likewise; None without an alignment.
    order_0_loss: of base frequencies.
    baseline: "contexts" or "columns", whichever has the lower loss.
    difference: loss - that of the baseline.
    half_width: of the 95 % interval of difference, by the normal approximation over
        windows; None for one window.
    """

    ratio: float
    bases: int
    loss: float
    accuracy: float
    count_loss: float
    column_loss: float | None
    order_0_loss: float
    baseline: str
    difference: float
    half_width: float | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-serializable fields."""
        return asdict(self)


@dataclass(frozen=True)
class _Counts:
    """Baselines counted in training windows.

    order_0: (4,) nats of each base. columns: empty without an alignment.
    """

    order_0: Floats
    contexts: list[CountModel]
    columns: list[ColumnModel]


def score_bases(
    model: Any,
    train: SampleSource,
    test: SampleSource,
    ratios: list[float],
    *,
    kmer: int = 1,
    is_aligned: bool = False,
    skip_repeats: bool = False,
    batch_size: int = 32,
    progress: Progress = lambda *_: None,
    counting: Progress = lambda *_: None,
) -> list[BaseScore]:
    """A score for each ratio on all windows of test; baselines are counted in train.

    kmer: bases in one of the model's tokens.
    skip_repeats: whether soft-masked bases do not count; they are masked like others.
    is_aligned: whether batches have "others", the bases of other species.
    progress, counting: called with (windows done, windows) of test and of train.
    """
    counts = _count(train, is_aligned, counting)
    parts: list[list[Floats]] = [[] for _ in ratios]

    def score(batch: Batch) -> None:
        for rows, ratio in zip(parts, ratios, strict=True):
            mask = frozen_mask(model, batch, ratio)
            is_scored = mask.is_masked.cpu()
            if skip_repeats:
                is_scored &= ~repeat_tokens(batch, is_scored.shape[1], kmer)
            by_run = _score_tokens(model, batch, mask, is_scored)
            by_counts = _score_counts(batch, mask, is_scored, counts, kmer)
            rows.append(np.hstack([by_run, by_counts]))

    for_each_batch([model], test, score, batch_size, progress=progress)
    return [
        _summarize(ratio, np.concatenate(rows), len(counts.contexts))
        for ratio, rows in zip(ratios, parts, strict=True)
    ]


def _count(train: SampleSource, is_aligned: bool, progress: Progress) -> _Counts:
    """Frequencies, contexts and, of an alignment, columns of training windows."""
    counts = count_contexts(train, progress=progress)
    flanks = (*range(SIDE), *range(SIDE + 1, counts.ndim))
    base_counts = counts.sum(axis=flanks)
    return _Counts(
        order_0=-np.log(base_counts / base_counts.sum()),
        contexts=count_models(counts),
        columns=column_models(count_columns(train)) if is_aligned else [],
    )


def _score_tokens(model: Any, batch: Batch, mask: Mask, is_scored: Tensor) -> Floats:
    """(B, 3) sums per window over scored tokens (B, tokens): loss, correct ones, all."""
    logits, (labels, _) = model.logits(batch, mask), model.named_targets(batch, mask)
    loss = F.cross_entropy(logits, labels, reduction="none").double().cpu().numpy()
    hits = (logits.argmax(dim=1) == labels).double().cpu().numpy()
    terms = [loss, hits, np.ones_like(loss)]
    return _sum_per_window(terms, mask.is_masked.cpu(), is_scored)


def _score_counts(
    batch: Batch, mask: Mask, is_scored: Tensor, counts: _Counts, kmer: int
) -> Floats:
    """(B, 2 + models) sums per window: scored bases, order-0 loss, losses of each model.

    Models are those of contexts, then those of columns.
    """
    bases = batch["bases"].cpu()
    is_hidden = hidden_bases(mask.is_masked.cpu(), bases, kmer)
    targets = bases[is_hidden].numpy()
    terms = [np.ones(len(targets)), counts.order_0[targets]]
    terms += [model.losses(bases, is_hidden) for model in counts.contexts]
    if counts.columns:
        columns = batch["others"].cpu()[is_hidden].numpy()
        terms += [model.losses(targets, columns) for model in counts.columns]
    return _sum_per_window(terms, is_hidden, hidden_bases(is_scored, bases, kmer))


def _sum_per_window(
    terms: list[Floats], is_hidden: Tensor, is_scored: Tensor
) -> Floats:
    """(B, terms) sums of terms (M,) of hidden positions (B, N), over the scored of these."""
    window = is_hidden.nonzero()[:, 0].numpy()
    weights = is_scored[is_hidden].double().numpy()
    sums = [np.bincount(window, term * weights, len(is_hidden)) for term in terms]
    return np.stack(sums, axis=1)


def repeat_tokens(batch: Batch, num_tokens: int, kmer: int) -> Tensor:
    """(B, tokens) bool on the CPU: tokens with a soft-masked base."""
    is_repeat: Tensor = batch["is_repeat"].cpu()
    if num_tokens == is_repeat.shape[1]:
        return is_repeat
    kmers = is_repeat[:, : (num_tokens - 2) * kmer].unflatten(1, (-1, kmer))
    return F.pad(kmers.any(dim=2), (1, 1))


def hidden_bases(is_masked: Tensor, bases: Tensor, kmer: int) -> Tensor:
    """(B, N) bool: bases whose token is masked.

    is_masked: (B, N), or (B, N / kmer + 2) for k-mers between two special tokens.
    """
    if is_masked.shape == bases.shape:
        return is_masked
    inner = is_masked[:, 1:-1].repeat_interleave(kmer, dim=1)
    return F.pad(inner, (0, bases.shape[1] - inner.shape[1]))


def _summarize(ratio: float, rows: Floats, num_contexts: int) -> BaseScore:
    """The score of rows (windows, 5 + models) of both parts of `score_bases`."""
    loss, hits, tokens, bases, order_0, *by_models = rows.sum(axis=0).tolist()
    if not bases:
        raise InputError(
            "--skip-repeats must leave bases to score, got none. Omit the option."
        )
    best = int(np.argmin(by_models))
    by_columns = by_models[num_contexts:]
    difference, half_width = ratio_interval(rows[:, 0] - rows[:, 5 + best], rows[:, 3])
    return BaseScore(
        ratio=ratio,
        bases=int(bases),
        loss=loss / bases,
        accuracy=hits / tokens,
        count_loss=min(by_models[:num_contexts]) / bases,
        column_loss=min(by_columns) / bases if by_columns else None,
        order_0_loss=order_0 / bases,
        baseline="contexts" if best < num_contexts else "columns",
        difference=difference,
        half_width=none_if_nan(half_width),
    )
