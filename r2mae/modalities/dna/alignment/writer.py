"""The growing files of an alignment's contig: written front to back where parts come in order, in place otherwise."""

import os
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from r2mae.errors import InputError
from r2mae.modalities.dna.alignment.store import contig_file
from r2mae.modalities.dna.genome.bases import GAP, PLAIN, Codes, N
from r2mae.modalities.dna.genome.store import GenomeStore

TOGETHER = 1 << 24  # bytes that are written together


class AlignedPart(NamedTuple):
    """Some columns of an alignment, all of them bases of the reference."""

    where: str  # what a message calls it
    contig: str
    start: int
    reference: Codes  # (n,) with soft masks
    species: list[str]  # R
    codes: Codes  # (R, n)


class ContigWriter:
    """The growing files of a contig: columns, and the reference's bases with soft masks."""

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
        self.filled = self.kept = (
            0  # positions in the files, and those of them that a journal knows
        )
        self.changed = (
            work / f"changed_{number}"
        )  # there when something behind self.kept was written again
        for path in self.paths:
            path.touch()

    def put(self, part: AlignedPart) -> None:
        """Write columns, between what is there and what comes."""
        start, stop = part.start, part.start + len(part.reference)
        bases = part.reference if self.genome is None else self._known(part)
        rows = np.full((len(part.reference), len(self.columns)), GAP, dtype=np.uint8)
        rows[:, 0] = bases & PLAIN
        rows[:, [self.columns[name] for name in part.species]] = part.codes.T
        if start > self.filled:
            self.fill(start)
        if start < self.filled:
            if start < self.kept:
                self.changed.touch()
            rows, bases = self._merged(part, rows, bases)
        else:
            self.aligned += np.count_nonzero(rows < N, axis=0)
        self._write(start, rows, bases)
        self.filled = max(self.filled, stop)

    def fill(self, stop: int) -> None:
        """Up to stop, where no block reaches: the genome's base or N, and gaps."""
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
        """What a journal has to know; what it speaks of is on the disk."""
        for path in self.paths:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        return {"filled": self.filled, "aligned": self.aligned.tolist()}

    def settle(self) -> None:
        """The journal knows all."""
        self.kept = self.filled
        self.changed.unlink(missing_ok=True)

    def go_on(self, state: dict[str, Any]) -> None:
        """As a journal has it; what was written after it is written over."""
        self.filled = self.kept = state["filled"]
        self.aligned = np.array(state["aligned"], dtype=np.int64)

    def close(self) -> None:
        """Until the contig comes again."""
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
        """With what an earlier block wrote, which stays; where it had a gap, the later one counts.

        Raises: InputError where the reference's rows of the two say different bases.
        """
        start, (columns, letters) = part.start, self._open()
        count = min(len(rows), self.filled - start)
        self._seek(start)
        old = np.frombuffer(
            columns.read(count * len(self.columns)), dtype=np.uint8
        ).reshape(count, -1)
        was = np.frombuffer(letters.read(count), dtype=np.uint8)
        now = bases[:count]
        differs = np.flatnonzero(
            ((was ^ now) & PLAIN > 0) & (was & PLAIN < N) & (now & PLAIN < N)
        )
        if len(differs):
            raise InputError(
                f"{part.where}: the reference must be as an earlier block has it, got another base at "
                f"{self.name}:{start + int(differs[0]) + 1:,}. Take one of the blocks out."
            )
        is_new = old == GAP
        is_new[:, 0] = old[:, 0] == N
        self.aligned += np.count_nonzero(is_new & (rows[:count] < N), axis=0)
        self.aligned += np.count_nonzero(rows[count:] < N, axis=0)
        rows[:count] = np.where(is_new, rows[:count], old)
        self._seek(self.filled)
        return rows, np.concatenate(
            [np.where(was & PLAIN == N, bases[:count], was), bases[count:]]
        )

    def _known(self, part: AlignedPart) -> Codes:
        """The genome's bases. Raises: InputError where the reference's row says others."""
        assert self.genome is not None
        known = self.genome.fetch(
            self.name, part.start, part.start + len(part.reference)
        )
        differs = np.flatnonzero((known ^ part.reference) & PLAIN)
        if len(differs):
            raise InputError(
                f"{part.where}: the reference must be as {self.genome.called} has it, got {len(differs):,} of "
                f"{len(known):,} bases that differ, first at {self.name}:{part.start + int(differs[0]) + 1:,}. "
                "Use the genome that the alignment is of."
            )
        return known
