"""Baseline for masked bases of an alignment: P(base | the other species' bases of its column).

Models see the other species at masked positions too, so this table is a fair baseline.

Shapes: M columns, S species with the reference, K other species nearest to it.
"""

import numpy as np
import numpy.typing as npt
import torch

from r2mae.data.source import SampleSource
from r2mae.modalities.dna.alignment.store import AlignmentStore
from r2mae.modalities.dna.base_counts import STRENGTHS
from r2mae.modalities.dna.genome.bases import N
from r2mae.modalities.dna.variants.variants import Variants

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
MAX_SPECIES = 8  # in a table, which has 5^8 rows then
_LETTERS = 5  # A, C, G, T, and one for N and gaps
_MOST_COUNTED, _MOST_SCORED, _MOST_COMPARED = 1 << 24, 1 << 20, 1 << 16  # bases
_WINDOWS = 64  # loaded at a time
_COMPARED = 16  # batches of windows in which species are compared with the reference


class ColumnCounts:
    """Counts of the reference's bases by the letters of the K nearest other species.

    order: (K,) indices of the other species, the nearest first.
    counts: (5^K, 4), on both strands.
    """

    def __init__(self, order: Integers) -> None:
        self.order = order
        self.counts = np.zeros((_LETTERS ** len(order), N), dtype=np.int64)

    def add(
        self, bases: npt.NDArray[np.integer], others: npt.NDArray[np.uint8]
    ) -> None:
        """Count columns: bases (M,) and others (M, S - 1). Bases that are N are left out."""
        is_base = bases < N
        letters, targets = self._letters(others[is_base]), bases[is_base]
        complements = np.where(letters < N, N - 1 - letters, letters)
        for numbers, base in (
            (self._number(letters), targets),
            (self._number(complements), N - 1 - targets),
        ):
            size = self.counts.size
            cells = np.bincount(numbers * N + base, minlength=size)
            self.counts += cells.reshape(self.counts.shape)

    def numbers(self, others: npt.NDArray[np.uint8]) -> Integers:
        """(M,) rows of the table for columns others (M, S - 1)."""
        return self._number(self._letters(others))

    def _letters(self, others: npt.NDArray[np.uint8]) -> Integers:
        return np.minimum(others[:, self.order], N).astype(np.int64)

    def _number(self, letters: Integers) -> Integers:
        powers = _LETTERS ** np.arange(len(self.order) - 1, -1, -1)
        numbers: Integers = letters @ powers
        return numbers

    def probabilities(self, strength: float) -> Floats:
        """(5^K, 4) of A, C, G, T in each column.

        Counts given k species are mixed with `strength` pseudocounts of the k - 1 nearest.
        """
        table = np.full((1, N), 1 / N)
        for depth in range(len(self.order) + 1):
            rows = _LETTERS**depth
            counts = self.counts.reshape(rows, -1, N).sum(axis=1)
            prior = np.repeat(table, rows // len(table), axis=0)
            total = counts.sum(axis=1, keepdims=True)
            table = (counts + strength * prior) / (total + strength)
        return table


class ColumnModel:
    """Probabilities of A, C, G, T given the other species' bases of a column."""

    def __init__(self, counts: ColumnCounts, strength: float) -> None:
        self.counts = counts
        self.table = counts.probabilities(strength)

    def log_probabilities(self, others: npt.NDArray[np.uint8]) -> Floats:
        """(M, 4) nats of A, C, G, T in columns others (M, S - 1)."""
        logs: Floats = np.log(self.table[self.counts.numbers(others)])
        return logs

    def losses(
        self, bases: npt.NDArray[np.integer], others: npt.NDArray[np.uint8]
    ) -> Floats:
        """(M,) nats of bases (M,), A to T, in columns others (M, S - 1)."""
        logs = self.log_probabilities(others)
        losses: Floats = -logs[np.arange(len(bases)), bases]
        return losses


def column_models(counts: ColumnCounts) -> list[ColumnModel]:
    """A model for each of five strengths; the baseline is the one with the lowest loss."""
    return [ColumnModel(counts, strength) for strength in STRENGTHS]


def nearest_species(
    bases: npt.NDArray[np.integer], others: npt.NDArray[np.uint8]
) -> Integers:
    """(K,) indices of the species that most often have the reference's base."""
    agreements = ((others == bases[:, None]) & (bases < N)[:, None]).sum(axis=0)
    return np.argsort(-agreements, kind="stable")[:MAX_SPECIES]


def count_columns(source: SampleSource) -> ColumnCounts:
    """Counts of columns in a source's windows, of 2^24 bases at most."""
    parts = _sample(source, _MOST_COUNTED).split(_WINDOWS)
    chosen = parts[:: -(-len(parts) // _COMPARED)]
    compared = [_columns(source, rows) for rows in chosen]
    bases, others = map(np.concatenate, zip(*compared, strict=True))
    counts = ColumnCounts(nearest_species(bases, others))
    for rows in parts:
        counts.add(*_columns(source, rows))
    return counts


def column_loss(train: SampleSource, held_out: SampleSource) -> float:
    """Nats per base of held-out windows, of the best column model counted in train."""
    models = column_models(count_columns(train))
    losses, num_bases = np.zeros(len(models)), 0
    for rows in _sample(held_out, _MOST_SCORED).split(_WINDOWS):
        bases, others = _columns(held_out, rows)
        is_base = bases < N
        bases, others = bases[is_base], others[is_base]
        losses += [model.losses(bases, others).sum() for model in models]
        num_bases += len(bases)
    return float(losses.min() / num_bases)


def column_ratios(alignment: AlignmentStore, variants: Variants) -> Floats:
    """(V,) log P(REF | column) - log P(ALT | column); higher is more deleterious.

    Tables of even and of odd positions are counted apart, and each scores the other's
    variants: no variant's own column is counted. Of the alignment, 2^24 bases at most.
    """
    even, odd = _count_by_parity(alignment)
    strength = _best_strength(even, odd)
    positions = alignment.reference.offsets[variants.contigs] + variants.positions
    others = alignment.take_padded(variants.contigs, variants.positions, 1)[:, 0, 1:]
    ratios = np.zeros(len(variants))
    for parity, counts in enumerate((odd, even)):
        rows = np.flatnonzero(positions % 2 == parity)
        nats = ColumnModel(counts, strength).log_probabilities(others[rows])
        place = np.arange(len(rows))
        ref, alt = variants.ref[rows], variants.alt[rows]
        ratios[rows] = nats[place, ref] - nats[place, alt]
    return ratios


def _count_by_parity(alignment: AlignmentStore) -> tuple[ColumnCounts, ColumnCounts]:
    """Counts of columns at even and at odd positions of the reference's flat array."""
    compared = [codes for _, codes in alignment.sample(_MOST_COMPARED)]
    codes = np.concatenate(compared)
    order = nearest_species(codes[:, 0], codes[:, 1:])
    even, odd = ColumnCounts(order), ColumnCounts(order)
    for start, codes in alignment.sample(_MOST_COUNTED):
        bases, others = codes[:, 0].astype(np.int64), codes[:, 1:]
        first = start % 2  # index of the first even position
        even.add(bases[first::2], others[first::2])
        odd.add(bases[1 - first :: 2], others[1 - first :: 2])
    return even, odd


def _best_strength(even: ColumnCounts, odd: ColumnCounts) -> float:
    """The strength with which each table predicts the other's columns best."""

    def loss(strength: float) -> float:
        pairs = ((even, odd), (odd, even))
        return -sum(
            float((tested.counts * np.log(counted.probabilities(strength))).sum())
            for counted, tested in pairs
        )

    return min(STRENGTHS, key=loss)


def _sample(source: SampleSource, most_bases: int) -> torch.Tensor:
    """Evenly spaced windows of at most most_bases in all, or all windows."""
    length = source.load(torch.tensor([0]), None, 0)["bases"].shape[1]
    size = min(len(source), max(1, most_bases // length))
    return torch.linspace(0, len(source) - 1, size, dtype=torch.float64).long()


def _columns(
    source: SampleSource, rows: torch.Tensor
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """(bases (M,), others (M, S - 1)) of windows on the forward strand."""
    batch = source.load(rows, None, 0)
    return batch["bases"].flatten().numpy(), batch["others"].flatten(0, 1).numpy()
