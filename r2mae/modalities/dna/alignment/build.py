"""MAF or aligned FASTA -> an alignment's store, in constant memory; it appears only when complete.

The first pass collects species, contigs and covered runs, the second checks every row and writes columns in place. A
build of MAF that was stopped continues after the last file that it finished.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from r2mae.data.atomic import atomic_folder
from r2mae.data.cache import cache_folder, open_cached
from r2mae.data.fingerprint import fingerprint_bytes
from r2mae.data.journal import Journal
from r2mae.data.lock import one_at_a_time
from r2mae.data.mapped import Integers
from r2mae.data.space import check_space, size_text
from r2mae.errors import InputError
from r2mae.modalities.dna.alignment.files import is_fasta
from r2mae.modalities.dna.alignment.source import SPANS, AlignmentSource
from r2mae.modalities.dna.alignment.store import (
    COLUMNS,
    COVERED,
    FORMAT,
    REFERENCE,
    AlignmentStore,
    is_alignment_store,
    open_alignment_store,
)
from r2mae.modalities.dna.alignment.writer import TOGETHER, ColumnWriter
from r2mae.modalities.dna.genome.bases import PLAIN, N
from r2mae.modalities.dna.genome.build import GenomeWriter
from r2mae.modalities.dna.genome.files import source_fingerprint, state_fingerprint
from r2mae.modalities.dna.genome.interval_sets import intersect, merge
from r2mae.modalities.dna.genome.store import META, GenomeStore
from r2mae.progress import Progress, listener, silent


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
        progress: called with (title, bytes done, bytes).
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
        resumes_as = (
            "" if any(map(is_fasta, paths)) else fingerprint_bytes(source + FORMAT)
        )
        with atomic_folder(out, resumes_as) as work:
            rows = AlignmentSource(work, paths, reference, species, progress)
            _Build(out, work, rows, genome, source).run()
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

    out: folder of the store. work: its name until it is complete.
    fingerprint: of everything that it is made of.
    """

    def __init__(
        self,
        out: Path,
        work: Path,
        source: AlignmentSource,
        genome: GenomeStore | None,
        fingerprint: str,
    ) -> None:
        self.out, self.work, self.source = out, work, source
        self.genome, self.fingerprint = genome, fingerprint
        self.journal = Journal(work)
        self.done = self.journal.read() or {"scanned": 0, "written": 0, "filled": False}
        self.bases = work / "bases"  # of the reference, in covered runs
        if self.done["scanned"]:
            source.restore(self.done["scan"])

    def run(self) -> None:
        """Everything that is left to do."""
        source, count = self.source, len(self.source.paths)
        for number in range(self.done["scanned"], count):
            source.scan(number)
            self._note(scanned=number + 1, scan=source.state())
        columns = source.choose_species()
        if self.genome is not None:
            source.check_contigs(self.genome)
        spans = source.flat_spans()
        runs = merge(spans[spans[:, 0] < spans[:, 1]])
        self._check_size(runs)
        starts = np.cumsum([0, *source.lengths.values()]).tolist()
        offsets = dict(zip(source.lengths, starts, strict=False))
        files = (self.work / COLUMNS, self.bases)
        writer = ColumnWriter(files, runs, offsets, columns, self.genome)
        self._write(writer)
        self._finish(runs, spans)

    def _check_size(self, runs: Integers) -> None:
        """Print the size of the store. Raises: InputError where the disk has less space."""
        num_species = len(self.source.species)
        covered, total = _size(runs), sum(self.source.lengths.values())
        columns = covered * (num_species - 1)
        size = columns + covered + (total if self.genome else covered) + runs.nbytes
        print(
            f"{self.out}: {num_species:,} species, blocks cover {covered:,} of {total:,} "
            f"bases: {size_text(size)}",
            file=sys.stderr,
        )
        files = (self.work / COLUMNS, self.bases)
        written = sum(path.stat().st_size for path in files if path.exists())
        check_space(
            self.out,
            max(0, size - written),
            "Name another folder, or keep fewer species: r2mae data build msa --species.",
        )

    def _write(self, writer: ColumnWriter) -> None:
        """Write the parts of files that are not finished."""
        writer.open(is_filled=self.done["filled"])
        self._note(filled=True)
        source = self.source
        if self.done["written"]:
            source.odd_rows, source.first_odd_row = self.done["odd_rows"]
        for number in range(self.done["written"], len(source.paths)):
            for part in source.parts(number):
                writer.put(part)
            writer.flush()
            odd_rows = (source.odd_rows, source.first_odd_row)
            self._note(written=number + 1, odd_rows=odd_rows)
        writer.close()

    def _note(self, **entries: Any) -> None:
        self.done |= entries
        self.journal.write(self.done)

    def _finish(self, runs: Integers, spans: Integers) -> None:
        source, genome = self.source, self.genome
        runs.tofile(self.work / COVERED)
        if genome is None:
            self._write_covered_reference(runs)
        else:
            self._write_genome(genome)
        digest = fingerprint_bytes(repr((self.fingerprint, list(source.species))))
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
            "aligned": self._count_aligned(),
        }
        (self.work / META).write_text(json.dumps(about) + "\n")
        self.journal.delete()
        for path in (self.bases, self.work / SPANS):
            path.unlink(missing_ok=True)
        for records in source.records.values():
            records.rows.unlink()

    def _count_aligned(self) -> dict[str, int]:
        """{species: bases that stand in covered positions}."""
        species = list(self.source.species)
        counts = np.zeros(len(species), dtype=np.int64)
        for path, first, width in (
            (self.bases, 0, 1),
            (self.work / COLUMNS, 1, len(species) - 1),
        ):
            with path.open("rb") as file:
                while block := file.read(max(1, TOGETHER // width) * width):
                    codes = np.frombuffer(block, dtype=np.uint8).reshape(-1, width)
                    counts[first : first + width] += (codes & PLAIN < N).sum(axis=0)
        return dict(zip(species, counts.tolist(), strict=True))

    def _write_covered_reference(self, runs: Integers) -> None:
        """The reference as a genome's store, of which only covered runs are stored."""
        writer = self._genome_writer()
        bounds = np.cumsum([0, *self.source.lengths.values()])
        contigs = np.stack([bounds[:-1], bounds[1:]], axis=1)
        with self.bases.open("rb") as file:
            for name, contig in zip(self.source.lengths, contigs, strict=True):
                writer.begin(self.source.paths[0], name)
                done, end = contig.tolist()
                for start, stop in intersect(contig[None], runs).tolist():
                    writer.add_unknown(start - done)
                    for at in range(start, stop, TOGETHER):
                        writer.add(file.read(min(TOGETHER, stop - at)))
                    done = stop
                writer.add_unknown(end - done)
        writer.finish("", [str(path) for path in self.source.paths])

    def _write_genome(self, genome: GenomeStore) -> None:
        """Contigs of the alignment with all bases of the genome."""
        writer = self._genome_writer()
        for name, length in self.source.lengths.items():
            writer.begin(self.source.paths[0], name)
            for at in range(0, length, TOGETHER):
                codes = genome.fetch(name, at, min(at + TOGETHER, length))
                writer.add(codes.tobytes())
        writer.finish("", [str(path) for path in self.source.paths])

    def _genome_writer(self) -> GenomeWriter:
        shutil.rmtree(self.work / REFERENCE, ignore_errors=True)
        (self.work / REFERENCE).mkdir()
        return GenomeWriter(self.work / REFERENCE)


def _size(runs: Integers) -> int:
    return int((runs[:, 1] - runs[:, 0]).sum())
