"""MAF or aligned FASTA -> an alignment's store, in constant memory; there whole or not at all.

The first pass learns species and lengths, the second checks every row and writes. MAF sorted by the reference, as it
mostly is, is written front to back.
"""

import hashlib
import json
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from r2mae.datasets.alignment_files import (
    Records,
    block_codes,
    is_fasta,
    maf_row,
    read_maf,
    read_records,
    scan_maf,
)
from r2mae.datasets.alignment_names import SourceNames, hint_for
from r2mae.datasets.alignment_store import (
    COVERED,
    FORMAT,
    REFERENCE,
    AlignmentStore,
    is_alignment_store,
    open_alignment_store,
)
from r2mae.datasets.alignment_writer import TOGETHER, AlignedPart, ContigWriter
from r2mae.datasets.bases import GAP, PLAIN
from r2mae.datasets.building import building, one_at_a_time, open_kept
from r2mae.datasets.dna_files import Heard, cache_folder, source_word, state_word
from r2mae.datasets.genome_build import GenomeWriter, file_stem
from r2mae.datasets.genome_store import META, GenomeStore
from r2mae.datasets.intervals import merge
from r2mae.datasets.mapped import Integers
from r2mae.datasets.progress import Progress, listener, silent
from r2mae.errors import InputError, did_you_mean


def build_alignment_store(
    out: Path,
    paths: list[Path],
    reference: str | None = None,
    genome: GenomeStore | None = None,
    progress: Progress = silent,
    *,
    species: Sequence[str] = (),
) -> AlignmentStore:
    """Build, or open the finished store of these files.

    Args:
        out: folder of the store.
        paths: MAF, or aligned FASTA, of which each is a contig called like its file.
        reference: whose bases are positions; None: the first row of the first file.
        genome: of the reference, whose bases and soft masks are the store's; None: those of the rows, else Ns.
        progress: hears how far it is.
        species: the others that are kept, in this order; none named: all, as they appear.

    A row of MAF is of the species that its source says before the first dot; reference and species may hold dots.
    Raises: InputError for damaged files, a reference that differs from the genome, a folder that holds something else.
    """
    with one_at_a_time(out):
        source = source_word(paths, reference, genome and genome.fingerprint, list(species))
        if is_alignment_store(out):
            store = open_alignment_store(out)
            if store.meta["source"] != source:
                raise InputError(f"{out} must be absent or of the same files, got another alignment. Name another.")
            return store
        with building(out) as work:
            _build(work, _Source(work, paths, reference, species, progress), genome, source)
    return open_alignment_store(out)


def open_alignment(
    paths: list[Path], reference: str | None = None, genome: GenomeStore | None = None
) -> AlignmentStore:
    """The store at paths; of files, the one in the cache, built where there is none."""
    if len(paths) == 1 and paths[0].is_dir():
        return open_alignment_store(paths[0])
    place = cache_folder() / f"alignment_{state_word(paths, reference, genome and genome.fingerprint)}"
    return open_kept(
        place, open_alignment_store, lambda: build_alignment_store(place, paths, reference, genome, listener.get())
    )


class _Source:
    """Files, and what the first pass finds: species, contigs and their lengths."""

    def __init__(
        self, work: Path, paths: list[Path], reference: str | None, chosen: Sequence[str], progress: Progress
    ) -> None:
        self.work, self.paths, self.reference, self.progress = work, paths, reference or "", progress
        self.names = SourceNames([self.reference, *chosen])
        self.alike: tuple[str, str] | None = None
        self.species: dict[str, int] = {}
        self.lengths: dict[str, int] = {}
        self.records: dict[Path, Records] = {}
        self.counts = {"blocks": 0, "without_reference": 0, "repeated_rows": 0}
        for number, path in enumerate(paths):
            if is_fasta(path):
                self._scan_records(path, self._say("check", number))
            else:
                self._scan_maf(path, self._say("check", number))
        if self.reference not in self.species:
            near = did_you_mean(self.reference, self.species)
            raise InputError(f"{paths[0]} must have the reference {self.reference!r} in some block, got none. {near}")
        if strange := [name for name in chosen if name not in self.species]:
            near = did_you_mean(strange[0], self.species)
            raise InputError(f"{paths[0]} must have the species {strange[0]!r} in some block, got none. {near}")
        names = dict.fromkeys([self.reference, *(chosen or self.species)])
        self.species = {name: column for column, name in enumerate(names)}

    def _say(self, what: str, number: int) -> Heard:
        sizes = [path.stat().st_size for path in self.paths]
        return lambda done: self.progress(what, sum(sizes[:number]) + done, sum(sizes))

    def _length(self, path: Path, contig: str, length: int) -> None:
        known = self.lengths.setdefault(contig, length)
        if known != length:
            raise InputError(f"{path}: {contig} must have {known:,} bases, as said before, got {length:,}.")

    def _scan_maf(self, path: Path, say: Heard) -> None:
        for sources, lines in scan_maf(path, say):
            found = [self.names.species_of(source) for source in sources]
            self.reference = self.reference or found[0]
            self.species |= dict.fromkeys(found, 0)
            self.counts["blocks"] += 1
            if repeated := len(found) - len(set(found)):
                self.counts["repeated_rows"] += repeated
                self.alike = self.alike or self.names.alike(sources)
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
            raise InputError(f"{path} must have the reference {self.reference!r}, got no such record. {near}")
        if file_stem(path) in self.lengths:
            raise InputError(f"{path} must be called like no other contig, got {file_stem(path)} again. Rename it.")
        row = records.codes()[records.names.index(self.reference)]
        bases = sum(int(np.count_nonzero(part != GAP)) for part in np.array_split(row, len(row) // TOGETHER + 1))
        self._length(path, file_stem(path), bases)

    def check_contigs(self, genome: GenomeStore) -> None:
        """Raise InputError unless a genome has the reference's contigs, as long as the files say."""
        of_files = set(map(file_stem, self.records))
        for name, length in self.lengths.items():
            if name not in genome.numbers:
                near = "An aligned FASTA is called like its contig." if name in of_files else ""
                raise InputError(
                    f"{genome.called} must have the contig {name!r} of {self.reference} in {self.paths[0]}, "
                    f"got none so named. {near or hint_for(name, self.reference, genome)}"
                )
            if (held := genome.contig(name).length) != length:
                raise InputError(
                    f"{name} must have {held:,} bases, as {genome.called} has, got {length:,} in the alignment. "
                    "Use the genome that the alignment is of."
                )

    def parts(self) -> Iterator[AlignedPart]:
        """All that is aligned to the reference, in the order of the files."""
        for number, path in enumerate(self.paths):
            if path in self.records:
                yield from self._record_parts(self.records[path])
            else:
                for rows in read_maf(path, self._say("write", number)):
                    # Of a species that comes twice the first row counts.
                    found = {self.names.species_of(row.source): row for row in reversed(rows)}
                    if (row := found.pop(self.reference, None)) is not None:
                        found = {name: other for name, other in found.items() if name in self.species}
                        start, reference, codes = block_codes(path, row, list(found.values()))
                        where = f"{path}, line {row.line}"
                        yield AlignedPart(where, self.names.contig_of(row.source), start, reference, list(found), codes)

    def _record_parts(self, records: Records) -> Iterator[AlignedPart]:
        rows, start = records.codes(), 0
        row = records.names.index(self.reference)
        others = [name for name in records.names if name != self.reference and name in self.species]
        places = [records.names.index(name) for name in others]
        width = max(1, TOGETHER // len(records.names))
        for at in range(0, records.columns, width):
            codes = rows[:, at : at + width]
            codes = codes[:, codes[row] & PLAIN != GAP]
            rest = codes[places] & np.uint8(PLAIN)
            yield AlignedPart(str(records.path), file_stem(records.path), start, codes[row], others, rest)
            start += codes.shape[1]


def _build(work: Path, source: _Source, genome: GenomeStore | None, word: str) -> None:
    if genome is not None:
        source.check_contigs(genome)
    contigs = [
        ContigWriter(work, number, *entry, source.species, genome)
        for number, entry in enumerate(source.lengths.items())
    ]
    by_name = {contig.name: contig for contig in contigs}
    offsets = dict(zip(by_name, np.cumsum([0, *source.lengths.values()]).tolist(), strict=False))
    covered = array("q")
    last = contigs[0]
    for part in source.parts():
        contig = by_name[part.contig]
        if contig is not last:
            last.close()
            last = contig
        contig.put(part)
        start = offsets[part.contig] + part.start
        if covered and covered[-1] == start:
            covered[-1] += len(part.reference)
        else:
            covered.extend((start, start + len(part.reference)))
    last.close()
    spans = np.frombuffer(covered, dtype=np.int64).reshape(-1, 2)
    runs = merge(spans)
    runs.tofile(work / COVERED)
    for records in source.records.values():
        records.rows.unlink()
    _write_reference(work, contigs, source.paths)
    digest = hashlib.sha256(repr((word, list(source.species))).encode()).hexdigest()[:16]
    about: dict[str, Any] = {"format": FORMAT, "fingerprint": digest, "source": word}
    about |= {"files": [str(path) for path in source.paths], "genome": genome and genome.called}
    about |= {"species": list(source.species), "contigs": list(source.lengths.items()), **source.counts}
    about |= {"positions": sum(source.lengths.values()), "covered_runs": len(runs), "covered": _size(runs)}
    about |= {"covered_twice": _size(spans) - _size(runs), "alike": source.alike}
    about |= {
        "aligned": dict(
            zip(source.species, np.sum([contig.aligned for contig in contigs], axis=0).tolist(), strict=True)
        )
    }
    (work / META).write_text(json.dumps(about) + "\n")


def _size(runs: Integers) -> int:
    return int((runs[:, 1] - runs[:, 0]).sum())


def _write_reference(work: Path, contigs: list[ContigWriter], paths: list[Path]) -> None:
    """The reference, of the letters that came by, as a genome's store."""
    (work / REFERENCE).mkdir()
    writer = GenomeWriter(work / REFERENCE)
    for contig in contigs:
        contig.fill(contig.length)
        contig.close()
        writer.begin(paths[0], contig.name)
        with contig.bases.open("rb") as file:
            while codes := file.read(TOGETHER):
                writer.add(codes)
        contig.bases.unlink()
    writer.finish("", [str(path) for path in paths])
