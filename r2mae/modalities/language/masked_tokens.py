"""Masked prediction on a fixed grid of ratios: how often the hidden token is named, and how dear it is.

Masks are frozen: they depend on a sample's index and the ratio alone, so runs and laws compare. Hidden tokens all
become [MASK], whatever the run's replacement was.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from r2mae.data.source import SampleSource, load_plain
from r2mae.training.watch import frozen_mask


@dataclass(frozen=True)
class MaskedScore:
    """At one ratio: share of hidden tokens named first, and mean cross-entropy (nats a token).

    half_width: of accuracy, 95 %, over rows (normal approximation; rows are the items that are independent).
    unigram_*: the same for always answering by how frequent tokens are among visible ones of training.
    """

    ratio: float
    tokens: int
    accuracy: float
    half_width: float | None
    loss: float
    unigram_accuracy: float
    unigram_loss: float

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self)


def count_tokens(model: Any, source: SampleSource, most: int = 2000) -> torch.Tensor:
    """(V,) how often each token occurs in up to `most` evenly spread rows, one added to each."""
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
    counts: torch.Tensor,
    ratios: list[float],
    batch_size: int = 32,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> list[MaskedScore]:
    """Every ratio on all rows of a source. counts: (V,) of `count_tokens` on training rows."""
    device = next(model.parameters()).device
    log_shares = (counts / counts.sum()).log().to(device)
    usual = int(counts.argmax())
    # rows x ratios x (tokens, right, loss, right by frequency, loss by frequency)
    found: list[list[np.ndarray[Any, Any]]] = [[] for _ in ratios]
    model.eval()
    done = 0
    with torch.no_grad():
        for indices in torch.arange(len(source)).split(batch_size):
            batch = load_plain(source, indices, device)
            for place, ratio in enumerate(ratios):
                mask = frozen_mask(model, batch, ratio)
                output, slots = (
                    model(batch, mask),
                    mask.is_masked.flatten().nonzero()[:, 0],
                )
                targets = batch["input_ids"].flatten()[slots]
                sums = torch.zeros(len(indices), 3, dtype=torch.float64, device=device)
                hits = (
                    torch.ones_like(targets),
                    output.predictions == targets,
                    targets == usual,
                )
                parts = torch.stack(hits, dim=1).double()
                sums.index_add_(0, slots // batch["input_ids"].shape[1], parts)
                losses = torch.stack(
                    [output.loss.total.double(), -log_shares[targets].sum()]
                )
                found[place].append(
                    np.concatenate([sums.cpu().numpy().ravel(), losses.cpu().numpy()])
                )
            done += len(indices)
            progress(done, len(source))
    return [_score(ratio, parts) for ratio, parts in zip(ratios, found, strict=True)]


def _score(ratio: float, parts: list[Any]) -> MaskedScore:
    rows = np.concatenate([part[:-2].reshape(-1, 3) for part in parts])
    losses = np.sum([part[-2:] for part in parts], axis=0)
    tokens, right, usual = rows.sum(axis=0)
    accuracy, half = right / tokens, None
    if len(rows) > 1:  # a ratio of sums: linearised
        residual = (rows[:, 1] - accuracy * rows[:, 0]) / rows[:, 0].mean()
        half = float(1.96 * residual.std(ddof=1) / np.sqrt(len(rows)))
    return MaskedScore(
        ratio,
        int(tokens),
        float(accuracy),
        half,
        float(losses[0] / tokens),
        float(usual / tokens),
        float(losses[1] / tokens),
    )
