"""Write the files of an alignment's contig: appended if blocks are sorted, else in place."""

import os
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from r2mae.errors import InputError
from r2mae.modalities.dna.alignment.store import contig_file
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


class ContigWriter:
    """Writes a contig: aligned columns, and the reference's bases with soft masks."""

    def __init__(
        self,
        work: Path,
        number: int,
        name: str,
        length: int,
        columns: dict[str, int],
        genome: GenomeStore | None,
    ) -> None:
        self.name, self.length, self.genome = name, length, genome
        self.columns = columns
        self.aligned = np.zeros(len(columns), dtype=np.int64)
        self.bases = work / f"bases_{number}"
        self.paths = (work / contig_file(number), self.bases)
        self.files: tuple[BinaryIO, BinaryIO] | None = None
        self.filled = 0  # positions written
        self.recorded = 0  # of these, positions that the build's journal records
        # This file exists if a recorded position was written again.
        self.changed = work / f"changed_{number}"
        for path in self.paths:
            path.touch()

    def put(self, part: AlignedPart) -> None:
        """Write columns, merged with those that earlier blocks wrote there."""
        start, stop = part.start, part.start + len(part.reference)
        bases = part.reference if self.genome is None else self._genome_bases(part)
        rows = np.full((len(part.reference), len(self.columns)), GAP, dtype=np.uint8)
        rows[:, 0] = bases & PLAIN
        rows[:, [self.columns[name] for name in part.species]] = part.codes.T
        if start > self.filled:
            self.fill(start)
        if start < self.filled:
            if start < self.recorded:
                self.changed.touch()
            rows, bases = self._merged(part, rows, bases)
        else:
            self.aligned += np.count_nonzero(rows < N, axis=0)
        self._write(start, rows, bases)
        self.filled = max(self.filled, stop)

    def fill(self, stop: int) -> None:
        """Write up to stop, where no block is: the genome's bases or N, and gaps."""
        step = max(1, TOGETHER // len(self.columns))
        for at in range(self.filled, stop, step):
            end = min(at + step, stop)
            bases = (
                self.genome.fetch(self.name, at, end)
                if self.genome
                else np.full(end - at, N, dtype=np.uint8)
            )
            rows = np.full((end - at, len(self.columns)), GAP, dtype=np.uint8)
            rows[:, 0] = bases & PLAIN
            self._write(at, rows, bases)
        self.filled = max(self.filled, stop)

    def state(self) -> dict[str, Any]:
        """What the build's journal records, after syncing the files to disk."""
        for path in self.paths:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        return {"filled": self.filled, "aligned": self.aligned.tolist()}

    def mark_recorded(self) -> None:
        """Note that the journal records all that is written."""
        self.recorded = self.filled
        self.changed.unlink(missing_ok=True)

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a journal's `state`; what was written later is overwritten."""
        self.filled = self.recorded = state["filled"]
        self.aligned = np.array(state["aligned"], dtype=np.int64)

    def close(self) -> None:
        """Close the files; `put` opens them again."""
        for file in self.files or ():
            file.close()
        self.files = None

    def _open(self) -> tuple[BinaryIO, BinaryIO]:
        if self.files is None:
            self.files = (self.paths[0].open("r+b"), self.paths[1].open("r+b"))
            self._seek(self.filled)
        return self.files

    def _seek(self, position: int) -> None:
        columns, bases = self._open()
        columns.seek(position * len(self.columns))
        bases.seek(position)

    def _write(self, start: int, rows: Codes, bases: Codes) -> None:
        columns, letters = self._open()
        if start != self.filled:
            self._seek(start)
        columns.write(rows.data)
        letters.write(np.ascontiguousarray(bases).data)
        if start != self.filled:
            self._seek(max(self.filled, start + len(rows)))

    def _merged(
        self, part: AlignedPart, rows: Codes, bases: Codes
    ) -> tuple[Codes, Codes]:
        """(rows, bases) merged with earlier blocks, whose letters take precedence over gaps.

        Raises: InputError where two blocks differ in the reference's base.
        """
        start, (columns, letters) = part.start, self._open()
        count = min(len(rows), self.filled - start)
        self._seek(start)
        held = columns.read(count * len(self.columns))
        old = np.frombuffer(held, dtype=np.uint8).reshape(count, -1)
        old_bases = np.frombuffer(letters.read(count), dtype=np.uint8)
        self._check_reference(part, old_bases, bases[:count])
        is_new = old == GAP
        is_new[:, 0] = old[:, 0] == N
        self.aligned += np.count_nonzero(is_new & (rows[:count] < N), axis=0)
        self.aligned += np.count_nonzero(rows[count:] < N, axis=0)
        rows[:count] = np.where(is_new, rows[:count], old)
        self._seek(self.filled)
        merged = np.where(old_bases & PLAIN == N, bases[:count], old_bases)
        return rows, np.concatenate([merged, bases[count:]])

    def _check_reference(self, part: AlignedPart, old: Codes, new: Codes) -> None:
        """Raise InputError where bases (n,) of the reference differ, except for N."""
        is_known = (old & PLAIN < N) & (new & PLAIN < N)
        differs = np.flatnonzero(((old ^ new) & PLAIN > 0) & is_known)
        if len(differs):
            position = part.start + int(differs[0]) + 1
            raise InputError(
                f"{part.where}: the reference must be as an earlier block has it, "
                f"got another base at {self.name}:{position:,}. Remove one of the blocks."
            )

    def _genome_bases(self, part: AlignedPart) -> Codes:
        """The genome's bases of a part. Raises: InputError where its reference differs."""
        assert self.genome is not None
        bases = self.genome.fetch(
            self.name, part.start, part.start + len(part.reference)
        )
        differs = np.flatnonzero((bases ^ part.reference) & PLAIN)
        if len(differs):
            position = part.start + int(differs[0]) + 1
            raise InputError(
                f"{part.where}: the reference must be as in {self.genome.called}, "
                f"got {len(differs):,} of {len(bases):,} bases that differ, "
                f"first at {self.name}:{position:,}. "
                "Use the genome that the alignment was made with."
            )
        return bases
