"""Files of an alignment, and what a first pass over them finds: species, contigs and how long these are."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from r2mae.errors import InputError, did_you_mean
from r2mae.modalities.dna.alignment.files import (
    Records,
    block_codes,
    is_fasta,
    maf_row,
    read_maf,
    read_records,
    scan_maf,
)
from r2mae.modalities.dna.alignment.names import SourceNames, hint_for
from r2mae.modalities.dna.alignment.writer import TOGETHER, AlignedPart
from r2mae.modalities.dna.genome.bases import GAP, PLAIN
from r2mae.modalities.dna.genome.build import file_stem
from r2mae.modalities.dna.genome.files import Heard
from r2mae.modalities.dna.genome.store import GenomeStore
from r2mae.progress import Progress

_FOUND = ("reference", "alike", "species", "lengths", "counts")


class AlignmentSource:
    """Files of MAF or aligned FASTA: `scan` each, `choose_species`, then `parts` of each."""

    def __init__(
        self,
        work: Path,
        paths: list[Path],
        reference: str | None,
        chosen: Sequence[str],
        progress: Progress,
    ) -> None:
        self.work, self.paths, self.reference, self.progress = (
            work,
            paths,
            reference or "",
            progress,
        )
        self.chosen = chosen
        self.names = SourceNames([self.reference, *chosen])
        self.alike: tuple[str, str] | None = None
        self.species: dict[str, int] = {}
        self.lengths: dict[str, int] = {}
        self.records: dict[Path, Records] = {}
        self.counts = {"blocks": 0, "without_reference": 0, "repeated_rows": 0}

    def scan(self, number: int) -> None:
        """Look through a file."""
        path, say = self.paths[number], self._say("check", number)
        self._scan_records(path, say) if is_fasta(path) else self._scan_maf(path, say)

    def found(self) -> dict[str, Any]:
        """What the files so far have said, as JSON can hold it."""
        return {name: getattr(self, name) for name in _FOUND}

    def go_on(self, found: dict[str, Any]) -> None:
        """As if the files that said this had been looked through."""
        for name in _FOUND:
            setattr(self, name, found[name])

    def choose_species(self) -> dict[str, int]:
        """Columns of the species that are kept, the reference first, once all files are looked through.

        Raises: InputError where one of them is in no block.
        """
        for what, name in (
            ("reference", self.reference),
            *(("species", name) for name in self.chosen),
        ):
            if name not in self.species:
                near = did_you_mean(name, self.species)
                raise InputError(
                    f"{self.paths[0]} must have the {what} {name!r} in some block, got none. {near}"
                )
        names = dict.fromkeys([self.reference, *(self.chosen or self.species)])
        self.species = {name: column for column, name in enumerate(names)}
        return self.species

    def _say(self, what: str, number: int) -> Heard:
        sizes = [path.stat().st_size for path in self.paths]
        return lambda done: self.progress(what, sum(sizes[:number]) + done, sum(sizes))

    def _length(self, path: Path, contig: str, length: int) -> None:
        known = self.lengths.setdefault(contig, length)
        if known != length:
            raise InputError(
                f"{path}: {contig} must have {known:,} bases, as said before, got {length:,}."
            )

    def _scan_maf(self, path: Path, say: Heard) -> None:
        for sources, lines in scan_maf(path, say):
            found = [self.names.species_of(source) for source in sources]
            self.reference = self.reference or found[0]
            self.species |= dict.fromkeys(found, 0)
            self.counts["blocks"] += 1
            repeated = len(found) - len(set(found))
            self.counts["repeated_rows"] += repeated
            self.alike = self.alike or self.names.alike(sources, repeated=repeated > 0)
            if self.reference not in found:
                self.counts["without_reference"] += 1
                continue
            row = maf_row(path, *lines[found.index(self.reference)])
            self._length(path, self.names.contig_of(row.source), row.source_size)

    def _scan_records(self, path: Path, say: Heard) -> None:
        records = read_records(path, self.work / f"rows_{len(self.records)}", say)
        self.reference = self.reference or records.names[0]
        self.species |= dict.fromkeys(records.names, 0)
        self.records[path] = records
        self.counts["blocks"] += 1
        if self.reference not in records.names:
            near = did_you_mean(self.reference, records.names)
            raise InputError(
                f"{path} must have the reference {self.reference!r}, got no such record. {near}"
            )
        if file_stem(path) in self.lengths:
            raise InputError(
                f"{path} must be called like no other contig, got {file_stem(path)} again. Rename it."
            )
        row = records.codes()[records.names.index(self.reference)]
        bases = sum(
            int(np.count_nonzero(part != GAP))
            for part in np.array_split(row, len(row) // TOGETHER + 1)
        )
        self._length(path, file_stem(path), bases)

    def check_contigs(self, genome: GenomeStore) -> None:
        """Raise InputError unless a genome has the reference's contigs, as long as the files say."""
        of_files = set(map(file_stem, self.records))
        for name, length in self.lengths.items():
            if name not in genome.numbers:
                near = (
                    "An aligned FASTA is called like its contig."
                    if name in of_files
                    else ""
                )
                raise InputError(
                    f"{genome.called} must have the contig {name!r} of {self.reference} in {self.paths[0]}, "
                    f"got none so named. {near or hint_for(name, self.reference, genome)}"
                )
            if (held := genome.contig(name).length) != length:
                raise InputError(
                    f"{name} must have {held:,} bases, as {genome.called} has, got {length:,} in the alignment. "
                    "Use the genome that the alignment is of."
                )

    def parts(self, number: int) -> Iterator[AlignedPart]:
        """All that a file aligns to the reference, in its order."""
        path = self.paths[number]
        if path in self.records:
            yield from self._record_parts(self.records[path])
            return
        for rows in read_maf(path, self._say("write", number)):
            # Of a species that comes twice the first row counts.
            found = {self.names.species_of(row.source): row for row in reversed(rows)}
            if (row := found.pop(self.reference, None)) is not None:
                found = {
                    name: other for name, other in found.items() if name in self.species
                }
                start, reference, codes = block_codes(path, row, list(found.values()))
                where = f"{path}, line {row.line}"
                yield AlignedPart(
                    where,
                    self.names.contig_of(row.source),
                    start,
                    reference,
                    list(found),
                    codes,
                )

    def _record_parts(self, records: Records) -> Iterator[AlignedPart]:
        rows, start = records.codes(), 0
        row = records.names.index(self.reference)
        others = [
            name
            for name in records.names
            if name != self.reference and name in self.species
        ]
        places = [records.names.index(name) for name in others]
        width = max(1, TOGETHER // len(records.names))
        for at in range(0, records.columns, width):
            codes = rows[:, at : at + width]
            codes = codes[:, codes[row] & PLAIN != GAP]
            rest = codes[places] & np.uint8(PLAIN)
            yield AlignedPart(
                str(records.path),
                file_stem(records.path),
                start,
                codes[row],
                others,
                rest,
            )
            start += codes.shape[1]
