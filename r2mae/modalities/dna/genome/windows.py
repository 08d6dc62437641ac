"""Windows of a genome as batches: forward or as the other strand reads them, beside other species and tracks.

B windows, N bases of each, S species of an alignment with the reference.
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
from r2mae.modalities.dna.genome.intervals import (
    choose_parts,
    intersect,
    invert,
    merge,
    parse_intervals,
)
from r2mae.modalities.dna.genome.store import GenomeStore
from r2mae.modalities.dna.genome.tracks import Track
from r2mae.modalities.dna.genome.window_runs import count_windows, without

_BLOCK = 64  # neighbours that are held out together where windows overlap


class Windows:
    """A `SampleSource` of windows: `length` bases every `stride` of them, which lie wholly in the parts asked for.

    `load` gives "bases" (B, N) int64, "is_repeat" (B, N) bool, "is_reverse" (B,) bool; with an alignment "others"
    (B, N, S - 1) uint8; of each track its name, (B, N) float32, nan where it has no value. With positions half of the
    windows, by a hash of their position, come as the other strand reads them, everything else along with them.

    Args:
        genome: whose windows.
        length: N.
        stride: from one window to the next; None: length, so that no base comes twice.
        least_known: share of a window's bases that must be no N.
        include: "chr1", "chr1:START-STOP" or FILE.bed; nothing: all contigs.
        exclude: the same, taken out: no window touches it.
        both_strands: or forward always.
        alignment: of a reference with this genome's contigs.
        least_aligned: share of a window's bases that the alignment must reach.
        tracks: of this genome, by the name they get in a batch.

    Raises: InputError where no window is left, and for contigs that genome or alignment lack.
    """

    labels = None
    labels_absent = "none, since windows of a genome have none. Fine-tune on labelled sequences instead."

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
    ) -> None:
        self.genome = genome
        self.length = length
        self.stride = stride or length
        self.both_strands = both_strands
        self.alignment = alignment
        self.tracks = dict(tracks or {})
        if self.alignment is not None:
            _check_same(genome, self.alignment, include)
        regions = choose_parts(genome, include, exclude)
        self.too_short = _count_too_short(genome, regions, length)
        firsts, counts = count_windows(regions, length, self.stride)
        in_all = int(counts.sum())
        for runs, share in _limits(genome, least_known, alignment, least_aligned):
            most = int(share * length + 1e-9)
            firsts, counts = without(firsts, counts, self.stride, length, runs, most)
        if not len(firsts):
            raise InputError(
                f"{genome.called} must hold windows with {least_known:.0%} known and {least_aligned:.0%} aligned "
                f"bases, got none of {in_all:,}. Lower data.least_known or data.least_aligned."
            )
        self.firsts, self.ends = firsts, np.cumsum(counts)
        self.left_out = in_all - len(self)  # with too few known or aligned bases
        settings = [least_known, fingerprint_array(regions)]
        settings += [] if alignment is None else [alignment.fingerprint, least_aligned]
        self.fingerprint = self._fingerprint(settings)

    def _fingerprint(self, settings: list[Any]) -> str:
        """Of the genome, the windows' shape, other settings and the tracks."""
        parts = [self.genome.fingerprint, self.length, self.stride, *settings]
        parts += [(name, track.fingerprint) for name, track in self.tracks.items()]
        return fingerprint_bytes(repr(parts))

    def __len__(self) -> int:
        return int(self.ends[-1])

    @property
    def class_names(self) -> dict[int, str]:
        """No classes."""
        return {}

    @property
    def note(self) -> str:
        """What of the genome no window reads; "" where that is tails of contigs alone."""
        parts = {
            "sequences shorter than a window": self.too_short,
            "windows with too few known bases": self.left_out,
        }
        return ", ".join(f"{count:,} {what}" for what, count in parts.items() if count)

    def starts(self, rows: Integers) -> Integers:
        """(B,) where windows begin in the genome's flat array."""
        part = np.searchsorted(self.ends, rows, "right")
        before = np.where(part > 0, self.ends[part - 1], 0)
        found: Integers = self.firsts[part] + (rows - before) * self.stride
        return found

    def places(self, rows: Integers) -> tuple[Integers, Integers]:
        """(numbers of contigs (B,), where windows begin within them (B,))."""
        starts = self.starts(rows)
        contigs = np.searchsorted(self.genome.offsets, starts, "right") - 1
        return contigs, starts - self.genome.offsets[contigs]

    def name(self, index: int) -> str:
        """Where a window lies, as samtools writes it: chr1:1001-1512, from 1, both ends within."""
        (number,), (start,) = self.places(np.array([index]))
        contig = self.genome.contigs[int(number)].name
        return f"{contig}:{start + 1}-{start + self.length}"

    def hold_out(self, share: float) -> tuple["Windows", "Windows"] | None:
        """(windows that train, windows held out), no base in both, where windows overlap; None where they do not.

        Blocks of neighbours are held out; windows that touch one but are in none are left out.
        Raises: InputError when either part would be empty.
        """
        if self.stride >= self.length:
            return None
        size = min(_BLOCK, max(1, round(share * len(self))))
        blocks = -(-len(self) // size)
        order = permute(torch.arange(blocks), blocks, HELD_OUT_KEY).numpy()
        chosen = np.sort(order[: max(1, round(share * blocks))])
        stops = np.minimum((chosen + 1) * size, len(self))
        runs = np.stack([np.append(0, self.ends[:-1]), self.ends], axis=1)
        pieces = intersect(runs, np.stack([chosen * size, stops], axis=1))
        firsts, counts = self.starts(pieces[:, 0]), pieces[:, 1] - pieces[:, 0]
        last_bases = firsts + self.stride * (counts - 1) + self.length
        held_out = merge(np.stack([firsts, last_bases], axis=1))
        all_counts = np.diff(self.ends, prepend=0)
        rest = without(self.firsts, all_counts, self.stride, self.length, held_out, 0)
        if not len(rest[0]):
            raise InputError(
                f"data.held_out must leave windows that touch none of it, got {share}. Lower it."
            )
        return self._some(*rest), self._some(firsts, counts)

    def _some(self, firsts: Integers, counts: Integers) -> "Windows":
        """These windows alone."""
        found = copy.copy(self)
        found.firsts, found.ends = firsts, np.cumsum(counts)
        return found

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """Windows at indices (B,), forward where there are no positions."""
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
        found = np.empty(
            (len(rows), self.length, len(self.alignment.meta["species"]) - 1),
            dtype=np.uint8,
        )
        for number in np.unique(contigs):
            is_here = contigs == number
            name = self.genome.contigs[int(number)].name
            found[is_here] = self.alignment.take(name, starts[is_here], self.length)[
                :, :, 1:
            ]
        found[is_reverse] = COMPLEMENT[found[is_reverse, ::-1]]
        return found


def draw_strands(positions: Tensor, seed: int) -> npt.NDArray[np.bool_]:
    """Whether each position (B,) of the stream reads the other strand: half do."""
    drawn = bits(seed, RandomStream.STRAND, positions, torch.zeros_like(positions))
    is_other: npt.NDArray[np.bool_] = (drawn % 2 == 1).numpy()
    return is_other


def _limits(
    genome: GenomeStore,
    least_known: float,
    alignment: AlignmentStore | None,
    least_aligned: float,
) -> list[tuple[Integers, float]]:
    """Runs of unwanted bases, and the share of a window that they may take."""
    limits = [(genome.unknown, 1 - least_known)]
    if alignment is not None and least_aligned > 0:
        uncovered = invert(alignment.covered, len(genome.bases))
        limits.append((uncovered, 1 - least_aligned))
    return limits


def _count_too_short(genome: GenomeStore, regions: Integers, length: int) -> int:
    """Sequences that hold no window. Raises: InputError where none holds one."""
    sizes = regions[:, 1] - regions[:, 0]
    longest = int(sizes.max(initial=0))
    if longest < length:
        raise InputError(
            f"data.length must be at most the longest sequence of {genome.called}, {longest:,}, got {length:,}."
        )
    return int((sizes < length).sum())


def _check_same(
    genome: GenomeStore, alignment: AlignmentStore, include: Sequence[str]
) -> None:
    """Raise InputError unless the alignment has the genome's contigs, as long as these, that windows are of."""
    wanted = genome.contigs
    if include:
        parts = intersect(
            np.stack([genome.offsets[:-1], genome.offsets[1:]], axis=1),
            parse_intervals(include, genome),
        )
        numbers = np.unique(np.searchsorted(genome.offsets, parts[:, 0], "right") - 1)
        wanted = [genome.contigs[int(number)] for number in numbers]
    for contig in wanted:
        found = alignment.reference.contig(contig.name)
        if found.length != contig.length:
            raise InputError(
                f"{alignment.called}: {contig.name} must have {contig.length:,} bases, as {genome.called} says, "
                f"got {found.length:,}. Use the genome that the alignment is of."
            )


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.data.source import SampleSource

    _source: type[SampleSource] = Windows
