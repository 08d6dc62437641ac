"""REF of variants against the bases of the reference genome."""

from dataclasses import replace

import numpy as np

from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import LETTERS, PLAIN, Codes, N
from r2mae.modalities.dna.genome.store import GenomeStore
from r2mae.modalities.dna.variants.variants import Variants

_SHOWN = 5  # mismatches that messages list


def keep_matching(
    variants: Variants, genome: GenomeStore, most_wrong: float
) -> Variants:
    """Those whose REF is the genome's base; the others are counted as skipped.

    Raises: InputError where none is left, or more than most_wrong differ.
    """
    has_contig = variants.contigs >= 0
    bases = _genome_bases(variants, genome)
    matches = has_contig & (bases == variants.ref)
    mismatches = np.flatnonzero(has_contig & ~matches)
    shown = [
        _describe_mismatch(variants, genome, row, bases[row])
        for row in mismatches[:_SHOWN].tolist()
    ]
    placed = int(has_contig.sum())
    if len(mismatches) > most_wrong * placed:
        raise InputError(
            f"{variants.called}: REF must be the base of {genome.called}, "
            f"got mismatches in {len(mismatches):,} of {placed:,} variants: "
            f"{'; '.join(shown)}. {_mismatch_hint(variants, genome, shown)}"
        )
    skipped = variants.skipped | {
        "contig": int((~has_contig).sum()),
        "mismatch": len(mismatches) + variants.skipped.get("mismatch", 0),
    }
    skipped = {why: count for why, count in skipped.items() if count}
    if not matches.any() and not len(variants.longer):
        reasons = ", ".join(f"{count:,} {why}" for why, count in skipped.items())
        raise InputError(
            f"{variants.called} must hold single-nucleotide variants, "
            f"got none: {reasons or 'no record'}."
        )
    kept = variants.take(np.flatnonzero(matches))
    return replace(kept, skipped=skipped, mismatches=shown)


def _genome_bases(variants: Variants, genome: GenomeStore, shift: int = 0) -> Codes:
    """(V,) the genome's bases, `shift` after the position; N without a contig."""
    bases = np.full(len(variants), N, dtype=np.uint8)
    rows = np.flatnonzero(variants.contigs >= 0)
    starts = variants.positions[rows] + shift
    codes = genome.take_padded(variants.contigs[rows], starts, 1)
    bases[rows] = codes[:, 0] & PLAIN
    return bases


def _describe_mismatch(
    variants: Variants, genome: GenomeStore, row: int, base: int
) -> str:
    contig = genome.contigs[int(variants.contigs[row])]
    position = int(variants.positions[row])
    ref, alt = LETTERS[variants.ref[row]], LETTERS[variants.alt[row]]
    actual = LETTERS[base] if position < contig.length else "no base"
    return f"{contig.name}:{position + 1} {ref}>{alt} where the genome has {actual}"


def _mismatch_hint(variants: Variants, genome: GenomeStore, shown: list[str]) -> str:
    """The likely cause of many REF mismatches: 0-based positions, hard masks, an assembly."""
    hint = "Use the assembly that the variants were called on."
    num_masked = sum(text.endswith(f" {LETTERS[N]}") for text in shown)
    if 2 * num_masked > len(shown):
        hint = "Most of these bases are N: use a genome that is not hard-masked."
    rows = variants.contigs >= 0
    agreement = {
        shift: float(
            (_genome_bases(variants, genome, shift) == variants.ref)[rows].mean()
        )
        for shift in (0, 1, -1)
    }
    causes = {1: ("after", "0-based"), -1: ("before", "one too high")}
    for shift, (side, cause) in causes.items():
        if agreement[shift] > max(0.9, agreement[0]):
            hint = (
                f"{agreement[shift]:.1%} match the base {side} it: "
                f"positions seem to be {cause}."
            )
    return hint
