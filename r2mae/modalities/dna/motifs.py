"""Recovery of the simulated genome's planted motifs from a run's predictions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.modalities.dna.genome.bases import encode, reverse_complement
from r2mae.modalities.dna.genome.simulated import MOTIFS, simulate_motifs
from r2mae.modalities.dna.variants.scoring import SiteScorer

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Progress = Callable[[int, int], None]
_COPIES = 20  # of each motif


def recover_motifs(
    scorer: SiteScorer, first: int, progress: Progress = lambda *_: None
) -> dict[str, Any]:
    """{"recovered", "motifs", "share", "elsewhere"} of up to 20 copies of each motif.

    first: only copies from this position of the genome on count.
    recovered: motifs whose every base has the highest mean probability over copies, each
        base masked alone.
    share: accuracy at single masked bases of copies, against the motif's own base.
    elsewhere: accuracy at as many bases between copies, where chance is 1/4.
    progress: called with (bases done, bases).
    """
    truth = simulate_motifs()
    chosen = _choose_copies(truth.motifs, truth.starts >= first)
    motif, is_reverse = truth.motifs[chosen], truth.is_reverse[chosen]
    offsets = np.arange(len(MOTIFS[0]))
    inside = truth.starts[chosen][:, None] + offsets
    planted = (truth.starts[:, None] + offsets).ravel()
    between = _choose_between(len(truth.codes), planted, first, inside.size)
    sites = np.concatenate([inside.ravel(), between])
    probabilities = np.exp(_score_sites(scorer, sites, progress))
    of_copies = probabilities[: inside.size].reshape(*inside.shape, 4)
    # Copies on the reverse strand are read as reverse complements.
    of_copies = np.where(is_reverse[:, None, None], of_copies[:, ::-1, ::-1], of_copies)
    predicted = probabilities.argmax(axis=1)
    # Of the motifs themselves: 5 % of the bases of copies are substituted.
    planned = _spell(motif, is_reverse).ravel()
    is_hit = predicted == np.concatenate([planned, truth.codes[between]])
    return {
        "recovered": _count_recovered(of_copies, motif),
        "motifs": len(MOTIFS),
        "share": float(is_hit[: inside.size].mean()),
        "elsewhere": float(is_hit[inside.size :].mean()),
    }


def _choose_copies(motifs: Integers, is_allowed: Flags) -> Integers:
    """Indices of the first 20 allowed copies of each motif."""
    copies = []
    for number in range(len(MOTIFS)):
        copies.append(np.flatnonzero((motifs == number) & is_allowed)[:_COPIES])
    return np.concatenate(copies)


def _choose_between(length: int, planted: Integers, first: int, count: int) -> Integers:
    """`count` evenly spread positions of a genome, from `first` on, that are not planted."""
    is_planted = np.zeros(length, dtype=np.bool_)
    is_planted[planted] = True
    between = np.flatnonzero(~is_planted & (np.arange(length) >= first))
    return np.asarray(between[np.linspace(0, len(between) - 1, count).astype(int)])


def _spell(motif: Integers, is_reverse: Flags) -> npt.NDArray[np.uint8]:
    """(copies, bases) codes of each copy's motif on the forward strand."""
    codes = np.stack([encode(text) for text in MOTIFS])
    reverse = reverse_complement(codes)
    return np.where(is_reverse[:, None], reverse[motif], codes[motif])


def _score_sites(scorer: SiteScorer, sites: Integers, progress: Progress) -> Floats:
    """(sites, 4) log-likelihoods at positions of the genome's only contig."""
    parts, done, step = [], 0, 4 * scorer.batch_size
    while done < len(sites):
        part = sites[done : done + step]
        parts.append(scorer.score(np.zeros(len(part), dtype=np.int64), part))
        done += len(part)
        progress(done, len(sites))
    return np.concatenate(parts)


def _count_recovered(of_copies: Floats, motif: Integers) -> int:
    """Motifs that the mean probabilities (copies, bases, 4) of their copies spell."""
    recovered = 0
    for number, text in enumerate(MOTIFS):
        spelled = of_copies[motif == number].mean(axis=0).argmax(axis=1)
        recovered += bool((spelled == encode(text)).all())
    return recovered
