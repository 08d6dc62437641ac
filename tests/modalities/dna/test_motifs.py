"""The simulated genome and its score: who knows the motifs recovers all, who knows the bases or nothing does not."""

import numpy as np
import pytest

from r2mae.modalities.dna.genome.bases import encode, reverse_complement
from r2mae.modalities.dna.genome.build import open_genome
from r2mae.modalities.dna.genome.simulated import (
    EVERY,
    LENGTH,
    MOTIFS,
    SUBSTITUTED,
    simulate_motifs,
    simulated_fasta,
)
from r2mae.modalities.dna.motifs import recover_motifs

FIRST = 540_000


class Scorer:
    """Says of each site what `say` (T, 4) does."""

    batch_size = 64

    def __init__(self, say):
        self.say = np.log(say + 1e-9)

    def score(self, contigs, positions):
        return self.say[positions]


@pytest.fixture(scope="module")
def known():
    """(T, 4) the motifs' own bases where they are planted, a quarter each elsewhere."""
    truth, say = simulate_motifs(), np.full((LENGTH, 4), 0.25)
    for start, motif, is_reverse in zip(
        truth.starts, truth.motifs, truth.is_reverse, strict=True
    ):
        word = encode(MOTIFS[motif])
        say[start : start + len(word)] = np.eye(4)[
            reverse_complement(word) if is_reverse else word
        ]
    return say


def test_who_knows_the_motifs_recovers_them(known):
    found = recover_motifs(Scorer(known), FIRST)
    assert (found["recovered"], found["motifs"], found["share"]) == (6, 6, 1.0)
    assert abs(found["elsewhere"] - 0.25) < 0.05


def test_who_knows_nothing_or_half_of_a_motif_does_not(known):
    assert recover_motifs(Scorer(np.full((LENGTH, 4), 0.25)), FIRST)["recovered"] == 0
    spoilt = known.copy()
    truth = simulate_motifs()
    spoilt[truth.starts + 3] = spoilt[truth.starts + 3][
        :, [1, 0, 3, 2]
    ]  # the fourth base of each copy
    found = recover_motifs(Scorer(spoilt), FIRST)
    assert found["recovered"] == 0
    assert found["share"] == pytest.approx(11 / 12)


def test_the_genome_is_what_it_says(scratch):
    truth = simulate_motifs()
    assert len(truth.codes) == LENGTH
    assert len(truth.starts) == LENGTH // EVERY
    word = np.stack([encode(MOTIFS[motif]) for motif in truth.motifs])
    word[truth.is_reverse] = reverse_complement(word[truth.is_reverse])
    planted = truth.codes[truth.starts[:, None] + np.arange(word.shape[1])]
    assert float((planted != word).mean()) == pytest.approx(
        SUBSTITUTED * 3 / 4, rel=0.05
    )
    store = open_genome([simulated_fasta()])
    assert np.array_equal(store.fetch("simulated", 0, LENGTH), truth.codes)


def test_no_motif_holds_another():
    both = [
        *MOTIFS,
        *("".join("TGCA"["ACGT".index(c)] for c in reversed(word)) for word in MOTIFS),
    ]
    assert (
        len({word[n : n + 9] for word in both for n in range(4)}) == 4 * 12
    )  # no nine bases are shared


def test_a_truncated_genome_in_the_cache_is_written_again(scratch):
    path = simulated_fasta()
    text = path.read_text()
    path.write_text(text[:1000])
    assert simulated_fasta() == path
    assert path.read_text() == text
