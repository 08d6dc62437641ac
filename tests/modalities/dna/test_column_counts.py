"""Tables of alignment columns: by hand, against a known truth, and as a bar for runs."""

import numpy as np
import pytest
import torch

from r2mae.modalities.dna.alignment.build import open_alignment
from r2mae.modalities.dna.column_counts import (
    ColumnCounts,
    ColumnModel,
    column_loss,
    column_ratios,
    count_columns,
    nearest_species,
)
from r2mae.modalities.dna.masked_bases import score_bases
from r2mae.modalities.dna.variants.reader import read_variants
from tests.modalities.dna.test_base_counts import Source, Uniform

ENTROPY = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1 / 3))  # of the reference, given "near"


class Aligned(Source):
    """Windows with other species: a near one, equal to the reference at 0.9 of bases, and a random one."""

    def __init__(self, windows, seed):
        draw = np.random.default_rng(seed)
        near = draw.integers(0, 4, (windows, 64))
        is_other = draw.random(near.shape) < 0.1
        super().__init__((near + is_other * draw.integers(1, 4, near.shape)) % 4)
        others = np.stack([draw.integers(0, 6, near.shape), near], axis=2)
        self.others = torch.from_numpy(others.astype(np.uint8))

    def load(self, indices, positions, seed):
        return super().load(indices, positions, seed) | {"others": self.others[indices]}


def test_columns_are_counted_on_both_strands_and_mixed_with_shorter_ones():
    counts = ColumnCounts(np.array([1, 0]))
    # Letters of the nearest species, then of the other: (A, gap), twice.
    others = np.array([[5, 0], [5, 0], [4, 0]], dtype=np.uint8)
    counts.add(np.array([0, 2, 4]), others)  # the last base is N
    expected = np.zeros((25, 4))
    expected[0 * 5 + 4, [0, 2]] = 1
    expected[3 * 5 + 4, [3, 1]] = 1  # the other strand
    assert np.array_equal(counts.counts, expected)
    order_0 = (np.array([1, 1, 1, 1]) + 2 * 0.25) / 6
    nearest = (np.array([1, 0, 1, 0]) + 2 * order_0) / 4
    column = (np.array([1, 0, 1, 0]) + 2 * nearest) / 4
    table = counts.probabilities(2.0)
    assert table[4] == pytest.approx(column)
    assert table[0] == pytest.approx(nearest)  # (A, A) was never counted
    assert np.allclose(table.sum(axis=1), 1)


def test_the_nearest_species_come_first():
    bases = np.array([0, 1, 2, 3, 4])
    others = np.array([[0, 0], [0, 1], [2, 2], [0, 5], [4, 0]], dtype=np.uint8)
    assert nearest_species(bases, others).tolist() == [1, 0]


def test_columns_find_the_entropy_given_the_other_species():
    train, test = Aligned(400, 0), Aligned(100, 1)
    assert count_columns(train).order.tolist() == [1, 0]
    assert column_loss(train, test) == pytest.approx(ENTROPY, abs=0.02)


def test_runs_on_alignments_are_compared_with_columns_they_see():
    (score,) = score_bases(
        Uniform(), Aligned(400, 0), Aligned(100, 1), [0.2], is_aligned=True
    )
    assert score.baseline == "columns"
    assert score.column_loss == pytest.approx(ENTROPY, abs=0.04)
    assert score.count_loss == pytest.approx(np.log(4), abs=0.02)
    assert score.difference == pytest.approx(score.loss - score.column_loss)


def test_variants_are_scored_by_columns_that_are_not_their_own(scratch):
    """A base in one column only, always beside the same letters, must not score itself."""
    draw = np.random.default_rng(0)
    near = draw.choice(list("ACGT"), 400)
    reference = near.copy()
    reference[100], near[100] = "A", "C"
    (scratch / "x.fa").write_text(f">ref\n{''.join(reference)}\n>near\n{''.join(near)}")
    store = open_alignment([scratch / "x.fa"])
    table = scratch / "v.tsv"
    table.write_text("pos\tref\talt\n101\tA\tC\n101\tA\tG\n")
    variants = read_variants(table, store.reference)
    to_c, to_g = column_ratios(store, variants)
    assert to_c < -2  # C stands there in the other species
    assert to_g == pytest.approx(0, abs=0.7)
    without = ColumnModel(count_columns(Aligned(4, 0)), 1.0)
    assert np.isfinite(without.log_probabilities(np.array([[5, 5]], np.uint8))).all()
