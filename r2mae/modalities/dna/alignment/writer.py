"""Write the columns of an alignment in place, merged with those of earlier blocks."""

import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from r2mae.data.mapped import Integers
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import GAP, PLAIN, Codes, N
from r2mae.modalities.dna.genome.store import GenomeStore

TOGETHER = 1 << 24  # bytes written at a time


class AlignedPart(NamedTuple):
    """Columns of an alignment, each with a base of the reference."""

    where: str  # file and line, for messages
    contig: str
    start: int
    reference: Codes  # (n,) with soft masks
    species: list[str]  # R
    codes: Codes  # (R, n)


class ColumnWriter:
    """Two files of all covered positions: codes of the other species, the reference's bases.

    Where blocks overlap, letters of the first count, so that writing a block again
    changes nothing. A build that was stopped may therefore repeat what it wrote.

    files: paths of columns and of bases.
    runs: (R, 2) covered runs of the reference's flat array.
    offsets: {contig: its start in the flat array}.
    columns: {species: column}, the reference first.
    genome: whose bases the reference must have, if any.
    """

    def __init__(
        self,
        files: tuple[Path, Path],
        runs: Integers,
        offsets: dict[str, int],
        columns: dict[str, int],
        genome: GenomeStore | None,
    ) -> None:
        self.runs, self.offsets, self.genome = runs, offsets, genome
        self.columns = {name: column - 1 for name, column in columns.items()}
        self.num_others = len(columns) - 1
        sizes = runs[:, 1] - runs[:, 0]
        self.before = np.cumsum(sizes) - sizes  # covered bases before a run
        self.size = int(sizes.sum())
        self.paths = files
        self.files: list[BinaryIO] = []

    def open(self, *, is_filled: bool) -> None:
        """Open the files, after filling them with gaps and N if they are not filled."""
        if not is_filled:
            for path, code, width in zip(
                self.paths, (GAP, N), (self.num_others, 1), strict=True
            ):
                _fill(path, code, self.size * width)
        self.files = [path.open("r+b", buffering=0) for path in self.paths]

    def close(self) -> None:
        """Close the files."""
        for file in self.files:
            file.close()

    def flush(self) -> None:
        """Wait until all that was put is on disk."""
        for file in self.files:
            os.fsync(file.fileno())

    def put(self, part: AlignedPart) -> None:
        """Write columns, merged with those that earlier blocks wrote there.

        Raises: InputError where the reference differs from earlier blocks or the genome.
        """
        if self.genome is not None:
            self._check_genome(self.genome, part)
        step = max(1, TOGETHER // (self.num_others + 1))
        for at in range(0, len(part.reference), step):
            piece = part._replace(
                start=part.start + at,
                reference=part.reference[at : at + step],
                codes=part.codes[:, at : at + step],
            )
            self._put_piece(piece)

    def _put_piece(self, part: AlignedPart) -> None:
        """Merge columns into the files."""
        count = len(part.reference)
        rows = np.full((count, self.num_others), GAP, dtype=np.uint8)
        rows[:, [self.columns[name] for name in part.species]] = part.codes.T
        start = self.offsets[part.contig] + part.start
        run = int(np.searchsorted(self.runs[:, 0], start, "right")) - 1
        place = int(self.before[run] + start - self.runs[run, 0])
        columns, letters = (file.fileno() for file in self.files)
        old = os.pread(columns, rows.size, place * self.num_others)
        old_rows = np.frombuffer(old, dtype=np.uint8).reshape(rows.shape)
        old_bases = np.frombuffer(os.pread(letters, count, place), dtype=np.uint8)
        self._check_earlier(part, old_bases)
        rows = np.where(old_rows == GAP, rows, old_rows)
        bases = np.where(old_bases & PLAIN == N, part.reference, old_bases)
        _write_all(columns, rows.tobytes(), place * self.num_others)
        _write_all(letters, bases.tobytes(), place)

    def _check_earlier(self, part: AlignedPart, old: Codes) -> None:
        """Raise InputError where the reference differs from earlier blocks, except for N."""
        new = part.reference
        are_bases = (old & PLAIN < N) & (new & PLAIN < N)
        differs = np.flatnonzero(((old ^ new) & PLAIN > 0) & are_bases)
        if len(differs):
            position = part.start + int(differs[0]) + 1
            raise InputError(
                f"{part.where}: the reference must be as an earlier block has it, "
                f"got another base at {part.contig}:{position:,}. "
                "Remove one of the blocks."
            )

    @staticmethod
    def _check_genome(genome: GenomeStore, part: AlignedPart) -> None:
        """Raise InputError where the reference differs from the genome."""
        stop = part.start + len(part.reference)
        bases = genome.fetch(part.contig, part.start, stop)
        differs = np.flatnonzero((bases ^ part.reference) & PLAIN)
        if len(differs):
            position = part.start + int(differs[0]) + 1
            raise InputError(
                f"{part.where}: the reference must be as in {genome.called}, "
                f"got {len(differs):,} of {len(bases):,} bases that differ, "
                f"first at {part.contig}:{position:,}. "
                "Use the genome that the alignment was made with."
            )


def _fill(path: Path, code: int, size: int) -> None:
    """Write a file of one repeated code."""
    with path.open("wb") as file:
        for at in range(0, size, TOGETHER):
            file.write(bytes([code]) * min(TOGETHER, size - at))
        file.flush()
        os.fsync(file.fileno())


def _write_all(descriptor: int, data: bytes, place: int) -> None:
    """os.pwrite, which may write a part only."""
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], place + done)
