"""Files of an alignment: a first pass collects species and contigs, a second yields columns."""

import itertools
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from r2mae.data.atomic import atomic_file
from r2mae.data.mapped import Integers
from r2mae.errors import InputError, did_you_mean
from r2mae.modalities.dna.alignment.files import (
    Records,
    is_fasta,
    read_records,
)
from r2mae.modalities.dna.alignment.maf import (
    Line,
    Row,
    block_codes,
    parse_others,
    parse_row,
    read_maf,
)
from r2mae.modalities.dna.alignment.names import SourceNames, hint_for
from r2mae.modalities.dna.alignment.writer import TOGETHER, AlignedPart
from r2mae.modalities.dna.genome.bases import GAP, PLAIN
from r2mae.modalities.dna.genome.build import file_stem
from r2mae.modalities.dna.genome.files import OnRead
from r2mae.modalities.dna.genome.store import GenomeStore
from r2mae.progress import Progress

SPANS = "spans"  # file of blocks, in the folder that is being built
_STATE = ("reference", "alike", "species", "lengths", "numbers", "counts")


class AlignmentSource:
    """MAF or aligned FASTA files: `scan` each, `choose_species`, then read `parts` of each."""

    def __init__(
        self,
        work: Path,
        paths: list[Path],
        reference: str | None,
        chosen: Sequence[str],
        progress: Progress,
    ) -> None:
        self.work, self.paths, self.progress = work, paths, progress
        self.reference, self.chosen = reference or "", chosen
        self.names = SourceNames([self.reference, *chosen])
        self.alike: tuple[str, str] | None = None  # see SourceNames.find_ambiguous
        self.species: dict[str, int] = {}  # columns by name
        self.lengths: dict[str, int] = {}  # of the reference's contigs
        self.numbers: dict[str, int] = {}  # of contigs, in the order of lengths
        self.records: dict[Path, Records] = {}  # of aligned FASTA
        self.counts = {"blocks": 0, "without_reference": 0, "repeated_rows": 0}
        self.spans = array("q")  # contig's number, start and stop of blocks
        self.spans_before = 0  # entries of earlier files
        self.odd_rows = 0  # malformed, of other species, left out
        self.first_odd_row = ""  # error of the first of them

    def scan(self, number: int) -> None:
        """Collect species, contigs and counts of a file."""
        path, progress = self.paths[number], self._progress("check", number)
        self.spans_before = len(self.spans)
        if is_fasta(path):
            self._scan_records(path, progress)
        else:
            self._scan_maf(path, progress)

    def state(self) -> dict[str, Any]:
        """What the scanned files hold, JSON-serializable; blocks are written to a file."""
        with atomic_file(self.work / SPANS) as path, path.open("wb") as file:
            self.spans.tofile(file)
        state = {name: getattr(self, name) for name in _STATE}
        return state | {"spans": len(self.spans)}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state`."""
        for name in _STATE:
            setattr(self, name, state[name])
        # A stop before the journal was written leaves spans of a file not yet scanned.
        spans = np.fromfile(self.work / SPANS, dtype=np.int64, count=state["spans"])
        self.spans = array("q", spans.tobytes())

    def flat_spans(self) -> Integers:
        """(blocks, 2) starts and stops of blocks in the reference's flat array; after all scans."""
        numbers, starts, stops = np.array(self.spans, dtype=np.int64).reshape(-1, 3).T
        ends = np.cumsum([0, *self.lengths.values()])
        return np.stack([ends[numbers] + starts, ends[numbers] + stops], axis=1)

    def choose_species(self) -> dict[str, int]:
        """{species: column} of those that are kept, the reference first; after all scans.

        Raises: InputError for a species in no block.
        """
        for name in (self.reference, *self.chosen):
            if name not in self.species:
                role = "reference" if name == self.reference else "species"
                raise InputError(
                    f"{self.paths[0]} must have the {role} {name!r} in some block, "
                    f"got none. {did_you_mean(name, self.species)}"
                )
        names = dict.fromkeys([self.reference, *(self.chosen or self.species)])
        self.species = {name: column for column, name in enumerate(names)}
        return self.species

    def _progress(self, label: str, number: int) -> OnRead:
        """Reports bytes done of one file as bytes done of all."""
        sizes = [path.stat().st_size for path in self.paths]
        before, total = sum(sizes[:number]), sum(sizes)
        return lambda done: self.progress(label, before + done, total)

    def _set_length(self, path: Path, contig: str, length: int) -> None:
        expected = self.lengths.setdefault(contig, length)
        self.numbers.setdefault(contig, len(self.numbers))
        if expected != length:
            raise InputError(
                f"{path}: {contig} must have {expected:,} bases, as in an earlier block, "
                f"got {length:,}."
            )

    def _scan_maf(self, path: Path, progress: OnRead) -> None:
        for sources, lines in read_maf(path, progress):
            species = [self.names.species_of(source) for source in sources]
            self.reference = self.reference or species[0]
            self.species |= dict.fromkeys(species, 0)
            self.counts["blocks"] += 1
            repeated = len(species) - len(set(species))
            self.counts["repeated_rows"] += repeated
            self.alike = self.alike or self.names.find_ambiguous(
                sources, has_repeats=repeated > 0
            )
            if self.reference not in species:
                self.counts["without_reference"] += 1
                continue
            row = parse_row(path, *lines[species.index(self.reference)])
            contig = self.names.contig_of(row.source)
            self._set_length(path, contig, row.source_size)
            start = row.start
            if row.strand == b"-":
                start = row.source_size - row.start - row.size
            self._add_span(contig, start, start + row.size)

    def _scan_records(self, path: Path, progress: OnRead) -> None:
        rows = self.work / f"rows_{len(self.records)}"
        records = read_records(path, rows, progress)
        self.reference = self.reference or records.names[0]
        self.species |= dict.fromkeys(records.names, 0)
        self.records[path] = records
        self.counts["blocks"] += 1
        if self.reference not in records.names:
            raise InputError(
                f"{path} must have the reference {self.reference!r}, got no such record. "
                f"{did_you_mean(self.reference, records.names)}"
            )
        contig = file_stem(path)
        if contig in self.lengths:
            raise InputError(
                f"{path} must be named unlike other contigs, got {contig} again. "
                "Rename it."
            )
        row = records.codes()[records.names.index(self.reference)]
        bases = 0
        for part in np.array_split(row, len(row) // TOGETHER + 1):
            bases += int(np.count_nonzero(part != GAP))
        self._set_length(path, contig, bases)
        self._add_span(contig, 0, bases)

    def _add_span(self, contig: str, start: int, stop: int) -> None:
        """Add a block, joined to the one before if it follows it in the same file."""
        number, spans = self.numbers[contig], self.spans
        is_first = len(spans) == self.spans_before
        if not is_first and spans[-3] == number and spans[-1] == start:
            spans[-1] = stop
        else:
            spans.extend((number, start, stop))

    def check_contigs(self, genome: GenomeStore) -> None:
        """Raise InputError unless the genome has the reference's contigs, as long as here."""
        fasta_contigs = set(map(file_stem, self.records))
        for name, length in self.lengths.items():
            if name not in genome.numbers:
                remedy = hint_for(name, self.reference, genome)
                if name in fasta_contigs:
                    remedy = "An aligned FASTA file is named after its contig."
                raise InputError(
                    f"{genome.called} must have the contig {name!r} of {self.reference} "
                    f"in {self.paths[0]}, got none so named. {remedy}"
                )
            expected = genome.contig(name).length
            if expected != length:
                raise InputError(
                    f"{name} must have {expected:,} bases, as in {genome.called}, "
                    f"got {length:,} in the alignment. "
                    "Use the genome that the alignment was made with."
                )

    def parts(self, number: int) -> Iterator[AlignedPart]:
        """The aligned columns of a file, in its order."""
        path = self.paths[number]
        if path in self.records:
            yield from self._record_parts(self.records[path])
            return
        for sources, lines in read_maf(path, self._progress("write", number)):
            species = [self.names.species_of(source) for source in sources]
            if self.reference not in species:
                continue
            reference = parse_row(path, *lines[species.index(self.reference)])
            rows = self._other_rows(path, species, lines, len(reference.text))
            start, bases, codes = block_codes(reference, list(rows.values()))
            where = f"{path}, line {reference.line}"
            contig = self.names.contig_of(reference.source)
            yield AlignedPart(where, contig, start, bases, list(rows), codes)

    def _other_rows(
        self, path: Path, species: list[str], lines: list[Line], width: int
    ) -> dict[str, Row]:
        """{species: its first well-formed row} of a block."""
        is_other = [name in self.species and name != self.reference for name in species]
        chosen = list(itertools.compress(lines, is_other))
        rows, fault = parse_others(path, chosen, width)
        self.odd_rows += len(chosen) - len(rows)
        self.first_odd_row = self.first_odd_row or fault
        return {self.names.species_of(row.source): row for row in reversed(rows)}

    def _record_parts(self, records: Records) -> Iterator[AlignedPart]:
        rows, start = records.codes(), 0
        reference = records.names.index(self.reference)
        others = [
            name
            for name in records.names
            if name != self.reference and name in self.species
        ]
        places = [records.names.index(name) for name in others]
        where, contig = str(records.path), file_stem(records.path)
        width = max(1, TOGETHER // len(records.names))
        for at in range(0, records.columns, width):
            codes = rows[:, at : at + width]
            codes = codes[:, codes[reference] & PLAIN != GAP]
            rest = codes[places] & np.uint8(PLAIN)
            yield AlignedPart(where, contig, start, codes[reference], others, rest)
            start += codes.shape[1]
