"""MAF or aligned FASTA -> an alignment's store, in constant memory; there whole or not at all.

The first pass learns species and lengths, the second checks every row and writes. MAF sorted by the reference, as it
mostly is, is written front to back. A build of MAF that was stopped goes on behind the last file that it had finished.
"""

import json
import shutil
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from r2mae.data.atomic import atomic_file, atomic_folder
from r2mae.data.cache import cache_folder, open_cached
from r2mae.data.fingerprint import fingerprint_bytes
from r2mae.data.journal import Journal
from r2mae.data.lock import one_at_a_time
from r2mae.data.mapped import Integers
from r2mae.errors import InputError
from r2mae.modalities.dna.alignment.files import is_fasta
from r2mae.modalities.dna.alignment.source import AlignmentSource
from r2mae.modalities.dna.alignment.store import (
    COVERED,
    FORMAT,
    REFERENCE,
    AlignmentStore,
    is_alignment_store,
    open_alignment_store,
)
from r2mae.modalities.dna.alignment.writer import TOGETHER, ContigWriter
from r2mae.modalities.dna.genome.build import GenomeWriter
from r2mae.modalities.dna.genome.files import source_fingerprint, state_fingerprint
from r2mae.modalities.dna.genome.intervals import merge
from r2mae.modalities.dna.genome.store import META, GenomeStore
from r2mae.progress import Progress, listener, silent

_SPANS = "spans"  # of a folder that is being built


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
        source = source_fingerprint(
            paths, reference, genome and genome.fingerprint, list(species)
        )
        if is_alignment_store(out):
            store = open_alignment_store(out)
            if store.meta["source"] != source:
                raise InputError(
                    f"{out} must be absent or of the same files, got another alignment. Name another."
                )
            return store
        # An interrupted build of aligned FASTA starts over: such files are small.
        resumes_as = "" if any(map(is_fasta, paths)) else source
        with atomic_folder(out, resumes_as) as work:
            rows = AlignmentSource(work, paths, reference, species, progress)
            _Build(work, rows, genome, source).run()
    return open_alignment_store(out)


def open_alignment(
    paths: list[Path], reference: str | None = None, genome: GenomeStore | None = None
) -> AlignmentStore:
    """The store at paths; of files, the one in the cache, built where there is none."""
    if len(paths) == 1 and paths[0].is_dir():
        return open_alignment_store(paths[0])
    state = state_fingerprint(paths, reference, genome and genome.fingerprint)
    place = cache_folder("dna") / f"alignment_{state}"
    return open_cached(
        place,
        open_alignment_store,
        lambda: build_alignment_store(place, paths, reference, genome, listener.get()),
    )


class _Build:
    """A store that is being filled, and the journal of what is done.

    work: its folder. fingerprint: of all that it is made of.
    """

    def __init__(
        self,
        work: Path,
        source: AlignmentSource,
        genome: GenomeStore | None,
        fingerprint: str,
    ) -> None:
        self.work, self.source, self.genome, self.fingerprint = (
            work,
            source,
            genome,
            fingerprint,
        )
        self.journal = Journal(work)
        self.done = self.journal.read() or {"scanned": 0, "written": 0}
        if "found" in self.done:
            source.restore(self.done["found"])
        self.contigs: dict[str, ContigWriter] = {}
        self.covered = array("q")

    def run(self) -> None:
        """All that is left to do."""
        source, count = self.source, len(self.source.paths)
        for number in range(self.done["scanned"], count):
            source.scan(number)
            self._note(scanned=number + 1, found=source.state())
        columns = source.choose_species()
        if self.genome is not None:
            source.check_contigs(self.genome)
        self.contigs = {
            name: ContigWriter(self.work, number, name, length, columns, self.genome)
            for number, (name, length) in enumerate(source.lengths.items())
        }
        self._resume()
        starts = np.cumsum([0, *source.lengths.values()]).tolist()
        offsets = dict(zip(self.contigs, starts, strict=False))
        for number in range(self.done["written"], count):
            self._write(number, offsets)
        self._finish()

    def _write(self, number: int, offsets: dict[str, int]) -> None:
        """The parts of a file."""
        last: ContigWriter | None = None
        for part in self.source.parts(number):
            contig = self.contigs[part.contig]
            if last is not None and contig is not last:
                last.close()
            last = contig
            contig.put(part)
            start = offsets[part.contig] + part.start
            if self.covered and self.covered[-1] == start:
                self.covered[-1] += len(part.reference)
            else:
                self.covered.extend((start, start + len(part.reference)))
        if last is not None:
            last.close()
        with (
            atomic_file(self.work / _SPANS) as unfinished,
            unfinished.open("wb") as file,
        ):
            self.covered.tofile(file)
        states = {name: contig.state() for name, contig in self.contigs.items()}
        odd_rows = (self.source.odd_rows, self.source.first_odd_row)
        self._note(
            written=number + 1,
            contigs=states,
            spans=len(self.covered),
            odd_rows=odd_rows,
        )

    def _resume(self) -> None:
        """Behind the last file that is written; from the first one where a later file has changed what that wrote."""
        if any(contig.changed.exists() for contig in self.contigs.values()):
            self._note(written=0)
        if self.done["written"]:
            self.source.odd_rows, self.source.first_odd_row = self.done["odd_rows"]
            for name, state in self.done["contigs"].items():
                self.contigs[name].restore(state)
            with (self.work / _SPANS).open("rb") as file:
                self.covered.fromfile(file, self.done["spans"])

    def _note(self, **entries: Any) -> None:
        self.done |= entries
        self.journal.write(self.done)
        for contig in self.contigs.values():
            contig.mark_recorded()

    def _finish(self) -> None:
        source, genome, contigs = self.source, self.genome, list(self.contigs.values())
        spans = np.frombuffer(self.covered, dtype=np.int64).reshape(-1, 2)
        runs = merge(spans)
        runs.tofile(self.work / COVERED)
        _write_reference(self.work, contigs, source.paths)
        digest = fingerprint_bytes(repr((self.fingerprint, list(source.species))))
        aligned = np.sum([contig.aligned for contig in contigs], axis=0).tolist()
        about = {
            "format": FORMAT,
            "fingerprint": digest,
            "source": self.fingerprint,
            "files": [str(path) for path in source.paths],
            "genome": genome and genome.called,
            "species": list(source.species),
            "contigs": list(source.lengths.items()),
            **source.counts,
            "odd_rows": source.odd_rows,
            "first_odd_row": source.first_odd_row,
            "positions": sum(source.lengths.values()),
            "covered_runs": len(runs),
            "covered": _size(runs),
            "covered_twice": _size(spans) - _size(runs),
            "alike": source.alike,
            "aligned": dict(zip(source.species, aligned, strict=True)),
        }
        (self.work / META).write_text(json.dumps(about) + "\n")
        self.journal.delete()
        (self.work / _SPANS).unlink()
        for contig in contigs:
            contig.bases.unlink()
        for records in source.records.values():
            records.rows.unlink()


def _size(runs: Integers) -> int:
    return int((runs[:, 1] - runs[:, 0]).sum())


def _write_reference(
    work: Path, contigs: list[ContigWriter], paths: list[Path]
) -> None:
    """The reference, of the letters that came by, as a genome's store."""
    shutil.rmtree(work / REFERENCE, ignore_errors=True)
    (work / REFERENCE).mkdir()
    writer = GenomeWriter(work / REFERENCE)
    for contig in contigs:
        contig.fill(contig.length)
        contig.close()
        writer.begin(paths[0], contig.name)
        with contig.bases.open("rb") as file:
            while codes := file.read(TOGETHER):
                writer.add(codes)
    writer.finish("", [str(path) for path in paths])
