"""How many motifs of the simulated genome a run has found: what it names where a base of a planted copy is hidden."""

from collections.abc import Callable
from typing import Any

import numpy as np

from r2mae.modalities.dna.genome.bases import encode, reverse_complement
from r2mae.modalities.dna.genome.simulated import MOTIFS, simulate_motifs
from r2mae.modalities.dna.variants.scoring import SiteScorer

_COPIES = 20  # of each motif, that are asked


def recover_motifs(
    scorer: SiteScorer,
    first: int,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, Any]:
    """{"recovered", "motifs", "share", "elsewhere"}, of copies that lie at `first` of the genome or later.

    A base is recovered when the mean of what the run says of it over 20 copies, hidden one at a time, is greatest for
    the motif's own; a motif when all its bases are. share: of single hidden bases of copies, that are named right;
    elsewhere: of as many bases between copies, where a quarter is all there is to know.
    """
    truth = simulate_motifs()
    size = len(MOTIFS[0])
    rows = []
    for number in range(len(MOTIFS)):
        rows.append(
            np.flatnonzero((truth.motifs == number) & (truth.starts >= first))[:_COPIES]
        )
    chosen = np.concatenate(rows)
    motif, is_reverse = truth.motifs[chosen], truth.is_reverse[chosen]
    inside = truth.starts[chosen][:, None] + np.arange(size)
    words = np.stack([encode(word) for word in MOTIFS])
    wanted = np.where(
        is_reverse[:, None], reverse_complement(words)[motif], words[motif]
    )
    is_planted = np.zeros(len(truth.codes), dtype=np.bool_)
    is_planted[(truth.starts[:, None] + np.arange(size)).ravel()] = True
    between = np.flatnonzero(~is_planted & (np.arange(len(is_planted)) >= first))
    between = between[np.linspace(0, len(between) - 1, inside.size).astype(int)]
    sites = np.concatenate([inside.ravel(), between])
    found, done, step = [], 0, 4 * scorer.batch_size
    while done < len(sites):
        part = sites[done : done + step]
        found.append(scorer.score(np.zeros(len(part), dtype=np.int64), part))
        done += len(part)
        progress(done, len(sites))
    likely = np.exp(np.concatenate(found))
    copies = likely[: inside.size].reshape(len(chosen), size, 4)
    # Copies on the other strand, turned over.
    copies = np.where(is_reverse[:, None, None], copies[:, ::-1, ::-1], copies)
    recovered = 0
    for number, word in enumerate(words):
        recovered += bool(
            (copies[motif == number].mean(axis=0).argmax(axis=1) == word).all()
        )
    named = likely.argmax(axis=1)
    return {
        "recovered": recovered,
        "motifs": len(MOTIFS),
        "share": float((named[: inside.size] == wanted.ravel()).mean()),
        "elsewhere": float((named[inside.size :] == truth.codes[between]).mean()),
    }
