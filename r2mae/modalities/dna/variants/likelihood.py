"""Scores of indels and longer substitutions, by pseudo-log-likelihoods of windows.

B windows, N bases of each, T tokens.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.masking.mask import build_mask
from r2mae.masking.pattern import Role
from r2mae.modalities.dna.genome.bases import COMPLEMENT, PLAIN, Codes, encode
from r2mae.modalities.dna.variants.files import PASSES
from r2mae.modalities.dna.variants.scoring import SiteScorer
from r2mae.modalities.dna.variants.variants import LongVariants

Floats = npt.NDArray[np.float64]


def score_longer(
    scorer: SiteScorer,
    variants: LongVariants,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Floats:
    """(L,) pseudo-log-likelihood of the window with ALT minus that of the one with REF.

    Both windows have as many bases: one with a deletion reaches further to the right. A
    token is predicted while every 16th one is masked. On both strands, the mean.

    Source: Salazar et al. 2020, who mask one token at a time.
    """
    scores = np.zeros(len(variants))
    step = max(1, scorer.batch_size // 2)
    for first in range(0, len(variants), step):
        rows = range(first, min(first + step, len(variants)))
        windows = [_windows(scorer, variants, row) for row in rows]
        codes = np.stack(windows).reshape(-1, scorer.length)
        sums = pseudo_log_likelihoods(scorer, codes)
        if scorer.both_strands:
            reverse = COMPLEMENT[codes[:, ::-1]]
            sums = (sums + pseudo_log_likelihoods(scorer, reverse)) / 2
        by_ref, by_alt = sums.reshape(-1, 2).T
        scores[first : first + len(rows)] = by_alt - by_ref
        progress(first + len(rows), len(variants))
    return scores


def _windows(scorer: SiteScorer, variants: LongVariants, row: int) -> Codes:
    """(2, N) codes of the window with REF and with ALT, which begins at base N // 2."""
    ref, alt = variants.refs[row], variants.alts[row]
    middle, length = scorer.length // 2, scorer.length
    number = np.array([variants.contigs[row]])
    start = np.array([variants.positions[row] - middle])
    size = length + max(0, len(ref) - len(alt))
    bases = scorer.places.take_padded(number, start, size)[0] & PLAIN
    parts = (bases[:middle], encode(alt), bases[middle + len(ref) :])
    return np.stack([bases[:length], np.concatenate(parts)[:length]])


def pseudo_log_likelihoods(scorer: SiteScorer, codes: Codes) -> Floats:
    """(B,) sums of log P(token) over the tokens of windows (B, N) that may be masked."""
    batch = scorer.make_batch(codes)
    is_eligible = scorer.model.masking.eligible(batch)
    if is_eligible.dtype != torch.bool:
        is_eligible = is_eligible == Role.HIDEABLE
    place = torch.arange(is_eligible.shape[1], device=is_eligible.device)
    sums = torch.zeros(len(codes), dtype=torch.float64)
    for phase in range(PASSES):
        is_masked = is_eligible & (place % PASSES == phase)
        if is_masked.any():
            sums += _sum_masked(scorer.model, batch, is_masked)
    result: Floats = sums.numpy()
    return result


def _sum_masked(model: Any, batch: dict[str, Any], is_masked: Tensor) -> Tensor:
    """(B,) float64 sums of log P over masked tokens (B, T), on the CPU."""
    mask = build_mask(is_masked)
    with torch.no_grad():
        logs = model.logits(batch, mask).log_softmax(dim=1)
        labels, _ = model.named_targets(batch, mask)
        losses = logs.gather(1, labels[:, None])[:, 0].double().cpu()
    window = is_masked.nonzero()[:, 0].cpu()
    return torch.zeros(len(is_masked), dtype=torch.float64).index_add(0, window, losses)
