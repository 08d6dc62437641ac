"""A simulated genome: random bases with planted motifs, to count those that a model recovers."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from r2mae.data.atomic import write_atomic
from r2mae.data.cache import cache_folder
from r2mae.data.lock import one_at_a_time
from r2mae.modalities.dna.genome.bases import Codes, decode, encode, reverse_complement

NAME = "simulated"  # its only contig
# Invented; none contains another or another's reverse complement.
MOTIFS = (
    "TGACGTCATTGC",
    "CCGGAAGTGATA",
    "ATTTGCATAACG",
    "GGGCGGAACTTC",
    "TTAACCGTTAGG",
    "CAGCTGTTCGAA",
)
LENGTH, EVERY, SUBSTITUTED = 600_000, 60, 0.05
_SEED = 20_250_926


class Simulated(NamedTuple):
    """Codes (T,) and planted motifs: starts (P,), indices in MOTIFS (P,), is_reverse (P,)."""

    codes: Codes
    starts: npt.NDArray[np.int64]
    motifs: npt.NDArray[np.int64]
    is_reverse: npt.NDArray[np.bool_]


@lru_cache(maxsize=1)
def simulate_motifs() -> Simulated:
    """Uniformly random bases with a motif in every 60, at a random place and strand.

    5 % of the bases of planted motifs are replaced by random ones.
    """
    draw = np.random.default_rng(_SEED)
    codes = draw.integers(0, 4, LENGTH).astype(np.uint8)
    templates = np.stack([encode(motif) for motif in MOTIFS])
    count, size = LENGTH // EVERY, templates.shape[1]
    starts = np.arange(count) * EVERY + draw.integers(0, EVERY - size + 1, count)
    motifs, is_reverse = (
        draw.integers(0, len(templates), count),
        draw.random(count) < 0.5,
    )
    reverse = reverse_complement(templates)
    planted = np.where(is_reverse[:, None], reverse[motifs], templates[motifs])
    is_random = draw.random(planted.shape) < SUBSTITUTED
    planted = np.where(is_random, draw.integers(0, 4, planted.shape), planted)
    codes[starts[:, None] + np.arange(size)] = planted
    return Simulated(codes, starts, motifs, is_reverse)


def simulated_fasta() -> Path:
    """The genome's FASTA file, in the cache."""
    place = cache_folder("dna") / f"simulated_motifs_{_SEED}.fa"
    bases = decode(simulate_motifs().codes)
    lines = "\n".join(bases[at : at + 80] for at in range(0, len(bases), 80))
    text = f">{NAME}\n{lines}\n"
    with one_at_a_time(place):
        # A file of another size is damaged; its letters are all ASCII.
        if not place.is_file() or place.stat().st_size != len(text):
            write_atomic(place, text)
    return place
