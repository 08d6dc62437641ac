"""Hidden bases of windows that a run has not trained on: its loss beside that of counted contexts, on the same sites.

Masks are frozen: they depend on a window's index and the ratio alone. Hidden bases all become [MASK].
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

from r2mae.data.source import SampleSource, load_plain
from r2mae.modalities.dna.base_counts import SIDE, count_contexts, count_models
from r2mae.training.watch import frozen_mask

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BaseScore:
    """At one ratio, in nats a base: the run's loss, that of counted contexts, and that of counting bases alone.

    count_loss: of the best of five count models, chosen on these very sites. difference: the run's - count_loss, and
    half_width, 95 % over windows (normal approximation); None for one window. accuracy: of the run's first guess, of a
    base or, with k-mers, of a whole one.
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
        """Plain numbers."""
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
    """Every ratio on all windows of test; contexts are counted in train. kmer: bases of one of the model's tokens."""
    counts = count_contexts(train, progress=counting)
    models, bare = (
        count_models(counts),
        counts.sum(axis=(*range(SIDE), *range(SIDE + 1, counts.ndim))),
    )
    order_0 = -np.log(bare / bare.sum())
    device = next(model.parameters()).device
    model.eval()
    # ratios x (windows x (loss, hits, tokens, bases, order 0, each count model))
    found: list[list[npt.NDArray[np.float64]]] = [[] for _ in ratios]
    with torch.no_grad():
        for indices in torch.arange(len(test)).split(batch_size):
            batch = load_plain(test, indices, device)
            bases = batch["bases"].cpu()
            for place, ratio in enumerate(ratios):
                mask = frozen_mask(model, batch, ratio)
                logits, (labels, _) = (
                    model.logits(batch, mask),
                    model.named_targets(batch, mask),
                )
                loss = (
                    F.cross_entropy(logits, labels, reduction="none")
                    .double()
                    .cpu()
                    .numpy()
                )
                hits = (logits.argmax(dim=1) == labels).double().cpu().numpy()
                is_hidden = hidden_bases(mask.is_masked.cpu(), bases, kmer)
                token_row, row = (
                    mask.is_masked.nonzero()[:, 0].cpu().numpy(),
                    is_hidden.nonzero()[:, 0].numpy(),
                )
                size = len(indices)
                columns = [
                    np.bincount(token_row, part, size)
                    for part in (loss, hits, np.ones_like(loss))
                ]
                others = [np.ones(len(row)), order_0[bases[is_hidden].numpy()]]
                others += [counted.losses(bases, is_hidden) for counted in models]
                columns += [np.bincount(row, part, size) for part in others]
                found[place].append(np.stack(columns, axis=1))
            progress(int(indices[-1]) + 1, len(test))
    return [
        _score(ratio, np.concatenate(parts))
        for ratio, parts in zip(ratios, found, strict=True)
    ]


def hidden_bases(is_masked: Tensor, bases: Tensor, kmer: int) -> Tensor:
    """(B, N) bool: bases whose token is hidden; is_masked (B, N), or (B, N / kmer + 2) with border tokens."""
    if is_masked.shape == bases.shape:
        return is_masked
    words = is_masked[:, 1:-1].repeat_interleave(kmer, dim=1)
    return F.pad(words, (0, bases.shape[1] - words.shape[1]))


def _score(ratio: float, rows: npt.NDArray[np.float64]) -> BaseScore:
    loss, hits, tokens, bases, order_0, *counted = rows.sum(axis=0)
    best = int(np.argmin(counted))
    differences, half = rows[:, 0] - rows[:, 5 + best], None
    difference = differences.sum() / bases
    if len(rows) > 1:  # a ratio of sums: linearised
        residual = (differences - difference * rows[:, 3]) / rows[:, 3].mean()
        half = float(1.96 * residual.std(ddof=1) / np.sqrt(len(rows)))
    return BaseScore(
        ratio,
        int(bases),
        float(loss / bases),
        float(hits / tokens),
        float(counted[best] / bases),
        float(order_0 / bases),
        float(difference),
        half,
    )
