"""Every single-nucleotide variant of regions."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from r2mae.data.mapped import Integers
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import PLAIN, N
from r2mae.modalities.dna.genome.interval_sets import count_up
from r2mae.modalities.dna.genome.store import GenomeStore
from r2mae.modalities.dna.variants.variants import Variants

_CHUNK = 1 << 20  # bases read at a time


def all_variants(intervals: Integers, genome: GenomeStore) -> Variants:
    """The three SNVs of every A, C, G and T in merged intervals (I, 2) of the flat array."""
    import pandas as pd

    sizes = intervals[:, 1] - intervals[:, 0]
    places = np.repeat(intervals[:, 0], sizes) + count_up(sizes)
    chunks = np.array_split(places, 1 + len(places) // _CHUNK)
    parts = [genome.take(chunk, 1)[:, 0] for chunk in chunks]
    bases = np.concatenate(parts) & np.uint8(PLAIN)
    is_base = bases < N
    if not is_base.any():
        raise InputError("--all must name regions with bases, got N alone.")
    places, bases = np.repeat(places[is_base], 3), np.repeat(bases[is_base], 3)
    step = np.tile(np.arange(3), int(is_base.sum()))
    alts = step + (step >= bases)  # the other bases, in the order of the alphabet
    contigs = np.searchsorted(genome.offsets, places, "right") - 1
    return Variants(
        called="--all",
        contigs=contigs,
        positions=places - genome.offsets[contigs],
        ref=bases,
        alt=alts.astype(np.uint8),
        rows=np.arange(len(places)),
        alleles=np.zeros(len(places), dtype=np.int64),
        table=pd.DataFrame(index=range(len(places))),
        names={},
        skipped={},
        mismatches=[],
    )


def mean_scores(
    variants: Variants, scores: npt.NDArray[np.float64]
) -> tuple[Integers, Integers, npt.NDArray[np.float64]]:
    """(contigs (P,), positions (P,), means (P,) of the three scores of each base)."""
    means = scores.reshape(-1, 3).mean(axis=1)
    return variants.contigs[::3], variants.positions[::3], means


def keep_inside(
    variants: Variants, intervals: Integers, genome: GenomeStore
) -> Variants:
    """The variants whose position lies in merged intervals (I, 2) of the flat array."""
    places = genome.offsets[variants.contigs] + variants.positions
    kept = variants.take(np.flatnonzero(_is_inside(places, intervals)))
    longer = variants.longer
    contigs = np.array(longer.contigs, dtype=np.int64)
    places = genome.offsets[contigs] + np.array(longer.positions, dtype=np.int64)
    rows = np.flatnonzero(_is_inside(places, intervals)).tolist()
    return replace(kept, longer=longer.take(rows))


def _is_inside(places: Integers, intervals: Integers) -> npt.NDArray[np.bool_]:
    run = np.searchsorted(intervals[:, 0], places, "right") - 1
    is_inside: npt.NDArray[np.bool_] = (run >= 0) & (places < intervals[run, 1])
    return is_inside
