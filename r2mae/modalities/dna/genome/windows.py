"""Batches of windows of a genome, on either strand, with aligned species and tracks.

Shapes: B windows, N bases of each, S species of an alignment, the reference among them.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.data.fingerprint import fingerprint_array, fingerprint_bytes
from r2mae.data.mapped import Integers
from r2mae.data.source import HELD_OUT_KEY, Batch
from r2mae.data.stream import permute
from r2mae.errors import InputError
from r2mae.masking.rng import RandomStream, bits
from r2mae.modalities.dna.alignment.store import AlignmentStore
from r2mae.modalities.dna.genome.bases import COMPLEMENT, PLAIN, SOFT_MASK
from r2mae.modalities.dna.genome.interval_sets import intersect, invert, merge
from r2mae.modalities.dna.genome.intervals import choose_parts, parse_intervals
from r2mae.modalities.dna.genome.store import GenomeStore
from r2mae.modalities.dna.genome.tracks import Track
from r2mae.modalities.dna.genome.window_runs import (
    advise_length,
    count_bases,
    count_windows,
    drop_windows,
)

_BLOCK = 64  # neighbouring windows held out together, where windows overlap


class Windows:
    """A `SampleSource` of windows: `length` bases, one every `stride`, within the chosen parts.

    `load` gives "bases" (B, N) int64, "is_repeat" (B, N) bool (soft-masked), "is_reverse"
    (B,) bool. With an alignment: "others" (B, N, S - 1) uint8. For each track, by name:
    (B, N) float32, nan where it has no value. In training, half of the windows are
    reverse-complemented, by a hash of their position in the stream.

    Args:
        genome: store of the genome.
        length: N.
        stride: bases from one window's start to the next; None: length, no overlap.
        least_known: smallest share of a window's bases that are not N.
        include: "chr1", "chr1:START-STOP" or FILE.bed; empty: all contigs.
        exclude: as include; no window overlaps these intervals.
        both_strands: False: forward strand only.
        alignment: on a reference with this genome's contigs.
        least_aligned: smallest share of a window's bases in blocks of the alignment.
        tracks: of this genome, by their name in a batch.
        aliases: {contig in BED files: in the genome}.

    Raises: InputError if no window is left, or genome or alignment lack a contig.
    """

    labels = None
    labels_absent = (
        "none, since windows of a genome are unlabelled. "
        "Fine-tune on labelled sequences instead."
    )

    def __init__(
        self,
        genome: GenomeStore,
        length: int,
        *,
        stride: int | None = None,
        least_known: float = 0.5,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        both_strands: bool = True,
        alignment: AlignmentStore | None = None,
        least_aligned: float = 0.0,
        tracks: Mapping[str, Track] | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.genome = genome
        self.length = length
        self.stride = stride or length
        self.both_strands = both_strands
        self.alignment = alignment
        self.tracks = dict(tracks or {})
        if self.alignment is not None:
            _check_contigs(genome, self.alignment, include, aliases)
        regions = choose_parts(genome, include, exclude, aliases)
        self._set_windows(regions, least_known, least_aligned)
        parts: list[Any] = [genome.fingerprint, length, self.stride, least_known]
        parts.append(fingerprint_array(regions))
        if alignment is not None:
            parts += [alignment.fingerprint, least_aligned]
        parts += [(name, track.fingerprint) for name, track in self.tracks.items()]
        self.fingerprint = fingerprint_bytes(repr(parts))

    def _set_windows(
        self, regions: Integers, least_known: float, least_aligned: float
    ) -> None:
        """Set firsts, ends, too_short and left_out to the windows of regions (R, 2)."""
        genome, length, stride = self.genome, self.length, self.stride
        sizes = regions[:, 1] - regions[:, 0]
        longest = int(sizes.max()) if len(regions) else 0
        if longest < length or not len(regions):
            raise InputError(
                f"data.length must be at most the longest sequence of {genome.called}, "
                f"{longest:,}, got {length:,}."
            )
        limits = [(genome.unknown, 1 - least_known)]
        if self.alignment is not None and least_aligned > 0:
            unaligned = invert(self.alignment.covered, genome.size)
            limits.append((unaligned, 1 - least_aligned))
        firsts, counts = count_windows(regions, length, stride)
        total = int(counts.sum())
        for intervals, share in limits:
            max_bases = int(share * length + 1e-9)
            firsts, counts = drop_windows(
                firsts, counts, stride, length, intervals, max_bases
            )
        if not len(firsts):
            raise InputError(
                f"{genome.called} must hold windows with {least_known:.0%} known and "
                f"{least_aligned:.0%} aligned bases, got none of {total:,}. "
                "Lower data.least_known or data.least_aligned."
            )
        self.firsts, self.ends = firsts, np.cumsum(counts)
        self.too_short = int((sizes < length).sum())  # regions shorter than a window
        self.left_out = total - len(self)  # windows with too few known or aligned bases
        self.present = int(sizes.sum())  # bases of all regions
        self.used = count_bases(firsts, counts, length, stride)
        self.shorter = advise_length(sizes, length) if stride <= length else None

    def __len__(self) -> int:
        return int(self.ends[-1])

    @property
    def class_names(self) -> dict[int, str]:
        """No classes."""
        return {}

    @property
    def note(self) -> str:
        """Numbers of sequences, windows and bases left out; "" for none."""
        unused = self.present - self.used
        parts = {
            "sequences shorter than a window": self.too_short,
            "windows with too few known or aligned bases": self.left_out,
            f"of {self.present:,} bases ({unused / self.present:.0%})": unused,
        }
        if not self.too_short and not self.left_out and unused < 0.01 * self.present:
            return ""  # ends of long contigs
        text = ", ".join(f"{count:,} {what}" for what, count in parts.items() if count)
        return text + (f"; {self.shorter}" if self.shorter else "")

    @property
    def description(self) -> str:
        """Bases used of those present, and what is left out."""
        text = f"{self.used:,} of {self.present:,} are in windows"
        return text + (f"; left out: {self.note}" if self.note else "")

    def starts(self, rows: Integers) -> Integers:
        """(B,) starts of windows in the genome's flat array."""
        run = np.searchsorted(self.ends, rows, "right")
        before = np.where(run > 0, self.ends[run - 1], 0)
        starts: Integers = self.firsts[run] + (rows - before) * self.stride
        return starts

    def places(self, rows: Integers) -> tuple[Integers, Integers]:
        """(indices of contigs (B,), 0-based starts of windows within them (B,))."""
        starts = self.starts(rows)
        contigs = np.searchsorted(self.genome.offsets, starts, "right") - 1
        return contigs, starts - self.genome.offsets[contigs]

    def name(self, index: int) -> str:
        """The window's region as samtools writes it: chr1:1001-1512, 1-based, inclusive."""
        (number,), (start,) = self.places(np.array([index]))
        contig = self.genome.contigs[int(number)].name
        return f"{contig}:{start + 1}-{start + self.length}"

    def hold_out(self, share: float) -> tuple["Windows", "Windows"] | None:
        """(training windows, held-out windows) without a common base; None if none overlap.

        Held out are blocks of neighbours; windows that only overlap a block are dropped.
        Raises: InputError if no training window is left.
        """
        if self.stride >= self.length:
            return None
        runs = np.stack([np.append(0, self.ends[:-1]), self.ends], axis=1)
        pieces = intersect(runs, self._choose_blocks(share))
        firsts, counts = self.starts(pieces[:, 0]), pieces[:, 1] - pieces[:, 0]
        lasts = firsts + self.stride * (counts - 1)
        held_out = merge(np.stack([firsts, lasts + self.length], axis=1))
        num_windows = np.diff(self.ends, prepend=0)
        train = drop_windows(
            self.firsts, num_windows, self.stride, self.length, held_out, 0
        )
        if not len(train[0]):
            raise InputError(
                "data.held_out must leave windows that do not overlap held-out ones, "
                f"got {share}. Lower it."
            )
        return self._with_runs(*train), self._with_runs(firsts, counts)

    def _choose_blocks(self, share: float) -> Integers:
        """(blocks, 2) [first, stop) indices of randomly chosen blocks of windows, sorted."""
        size = min(_BLOCK, max(1, round(share * len(self))))
        blocks = -(-len(self) // size)
        shuffled = permute(torch.arange(blocks), blocks, HELD_OUT_KEY)
        chosen = np.sort(shuffled[: max(1, round(share * blocks))].numpy())
        stops = np.minimum((chosen + 1) * size, len(self))
        return np.stack([chosen * size, stops], axis=1)

    def _with_runs(self, firsts: Integers, counts: Integers) -> "Windows":
        """A copy with other runs of windows."""
        windows = copy.copy(self)
        windows.firsts, windows.ends = firsts, np.cumsum(counts)
        return windows

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """Windows at indices (B,), all on the forward strand if positions is None."""
        rows = indices.numpy()
        starts, count = self.starts(rows), len(rows)
        is_reverse = np.zeros(count, dtype=np.bool_)
        if positions is not None and self.both_strands:
            is_reverse = draw_strands(positions, seed)
        codes = self.genome.take(starts, self.length)
        codes[is_reverse] = COMPLEMENT[codes[is_reverse, ::-1]]
        batch: Batch = {
            "bases": torch.from_numpy(codes & PLAIN).long(),
            "is_repeat": torch.from_numpy(codes >= SOFT_MASK),
            "is_reverse": torch.from_numpy(is_reverse),
        }
        for name, track in self.tracks.items():
            values = track.take(starts, self.length)
            values[is_reverse] = values[is_reverse, ::-1]
            batch[name] = torch.from_numpy(values)
        if self.alignment is not None:
            batch["others"] = torch.from_numpy(self._others(rows, is_reverse))
        return batch | {"indices": indices, "skipped": ()}

    def _others(self, rows: Integers, is_reverse: npt.NDArray[np.bool_]) -> Any:
        """(B, N, S - 1) codes of the other species."""
        assert self.alignment is not None
        contigs, starts = self.places(rows)
        names = [contig.name for contig in self.genome.contigs]
        reference = self.alignment.reference
        numbers = np.array([reference.numbers.get(name, -1) for name in names])
        offsets = reference.offsets[numbers[contigs]]
        others = self.alignment.take_others(offsets + starts, self.length)
        others[is_reverse] = COMPLEMENT[others[is_reverse, ::-1]]
        return others


def draw_strands(positions: Tensor, seed: int) -> npt.NDArray[np.bool_]:
    """(B,) bool: whether a position of the stream reads the reverse strand; half do."""
    drawn = bits(seed, RandomStream.STRAND, positions, torch.zeros_like(positions))
    is_reverse: npt.NDArray[np.bool_] = (drawn % 2 == 1).numpy()
    return is_reverse


def _check_contigs(
    genome: GenomeStore,
    alignment: AlignmentStore,
    include: Sequence[str],
    aliases: Mapping[str, str] | None,
) -> None:
    """Raise InputError unless contigs of the included parts are as long in the alignment."""
    contigs = genome.contigs
    if include:
        bounds = np.stack([genome.offsets[:-1], genome.offsets[1:]], axis=1)
        parts = intersect(bounds, parse_intervals(include, genome, aliases))
        numbers = np.unique(np.searchsorted(genome.offsets, parts[:, 0], "right") - 1)
        contigs = [genome.contigs[int(number)] for number in numbers]
    for contig in contigs:
        aligned = alignment.reference.contig(contig.name)
        if aligned.length != contig.length:
            raise InputError(
                f"{alignment.called}: {contig.name} must have {contig.length:,} bases, "
                f"as {genome.called} says, got {aligned.length:,}. "
                "Use the genome that the alignment was made with."
            )


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.data.source import SampleSource

    _source: type[SampleSource] = Windows
