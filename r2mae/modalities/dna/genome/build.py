"""FASTA or tables of sequences -> a genome's store: in one pass, in constant memory; there whole or not at all."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from r2mae.data.atomic import atomic_folder
from r2mae.data.cache import cache_folder, open_cached
from r2mae.data.fingerprint import shortened
from r2mae.data.lock import one_at_a_time
from r2mae.data.mapped import Integers
from r2mae.data.space import check_space
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import GENOME, PLAIN, SOFT_MASK, N
from r2mae.modalities.dna.genome.files import (
    BLOCK,
    read_fasta,
    source_fingerprint,
    state_fingerprint,
)
from r2mae.modalities.dna.genome.interval_sets import merge
from r2mae.modalities.dna.genome.store import (
    BASES,
    FORMAT,
    META,
    STORED,
    UNKNOWN,
    GenomeStore,
    is_genome_store,
    open_genome_store,
)
from r2mae.modalities.dna.genome.two_bit import is_two_bit, read_two_bit
from r2mae.modalities.dna.sequences.tables import is_lines, is_table, read_rows
from r2mae.progress import Progress, listener, silent

_BY_FILE = "Call contigs FILE:CONTIG: --name-by-file, or data.name_by_file: true."


def build_genome_store(
    out: Path,
    paths: list[Path],
    progress: Progress = silent,
    *,
    name_by_file: bool = False,
) -> GenomeStore:
    """Build, or open the finished store of these files.

    name_by_file: contigs are called FILE:CONTIG, for files that share names.
    Raises: InputError for damaged files, names that come twice, and a folder that holds something else.
    """
    with one_at_a_time(out):
        source = source_fingerprint(paths, name_by_file)
        if is_genome_store(out):
            store = open_genome_store(out)
            if store.meta["source"] != source:
                raise InputError(
                    f"{out} must be absent or of the same files, got another genome. Name another."
                )
            return store
        # A byte for each base: at least the size of files, zipped ones included.
        sizes = [path.stat().st_size for path in paths]
        check_space(out, sum(sizes), "Delete files, or name another folder.")
        with atomic_folder(out) as work:
            writer = GenomeWriter(work, "" if name_by_file else _BY_FILE)
            for number in range(len(paths)):
                _add(writer, paths, number, progress, name_by_file)
            writer.finish(source, [str(path) for path in paths])
    return open_genome_store(out)


def open_genome(paths: list[Path], *, name_by_file: bool = False) -> GenomeStore:
    """The store at paths; of FASTA files, the one in the cache, built where there is none."""
    if len(paths) == 1 and paths[0].is_dir():
        return open_genome_store(paths[0])
    place = cache_folder("dna") / f"genome_{state_fingerprint(paths, name_by_file)}"
    return open_cached(
        place,
        open_genome_store,
        lambda: build_genome_store(
            place, paths, listener.get(), name_by_file=name_by_file
        ),
    )


def _add(
    writer: "GenomeWriter",
    paths: list[Path],
    number: int,
    progress: Progress,
    name_by_file: bool,
) -> None:
    """All records of a file."""
    path = paths[number]
    sizes = [path.stat().st_size for path in paths]
    before = sum(sizes[:number])
    contigs = len(writer.contigs)

    def report(done: int) -> None:
        progress("read", before + done, sum(sizes))

    is_rows = is_table(path) or is_lines(path)
    if is_two_bit(path):
        records = read_two_bit(path, report)
    else:
        records = read_rows(path) if is_rows else read_fasta(path, GENOME, report)
    for record, codes in records:
        name = f"{file_stem(path)}:{record}" if name_by_file else record
        if codes:
            writer.add(codes)
        else:
            writer.begin(path, name)
    writer.drop_empty()
    if len(writer.contigs) == contigs:
        raise InputError(
            f"{path} must hold sequences, got no record with bases. Leave it out."
        )


def file_stem(path: Path) -> str:
    """A file's name without what says its kind."""
    name = path.name.removesuffix(".gz").removesuffix(".bgz")
    for kind in (".fasta", ".fna", ".fa", ".2bit", ".maf", ".afa", ".aln"):
        name = name.removesuffix(kind)
    return name.removesuffix(".msa")


class GenomeWriter:
    """Appends contigs to a store's files, and knows what there is to say of them."""

    def __init__(self, work: Path, remedy: str = "") -> None:
        """remedy: for a name that comes in two files; where there is none, these are to be renamed."""
        self.work, self.remedy = work, remedy
        self.file = (work / BASES).open("wb")
        self.contigs: list[list[Any]] = []
        self.files: dict[str, Path] = {}
        self.total = 0
        self.counts = np.zeros(16, dtype=np.int64)
        self.unknown = (work / UNKNOWN).open("wb")
        self.runs = 0
        self.last_run = np.zeros(
            (0, 2), dtype=np.int64
        )  # which the next block may go on with
        self.digest = hashlib.sha256()
        self.left_out = 0  # Ns that are not stored
        self.empty_records = 0
        self.stored_runs: list[tuple[int, int]] = []  # of the flat array

    def begin(self, path: Path, name: str) -> None:
        """A contig. Raises: InputError when there is one of its name."""
        self.drop_empty()
        if name in self.files:
            where, hint = "twice", "Rename one."
            if (other := self.files[name]) != path:
                where = f"in {other} too"
                hint = (
                    self.remedy
                    or "Files that hold records of one name must be called apart: rename one."
                )
            raise InputError(
                f"{path}: record {name} must be named once, got it {where}. {hint}"
            )
        self.files[name] = path
        self.contigs.append([name, 0, self.total])

    def add(self, codes: bytes) -> None:
        """Bases of the last contig."""
        self._begin_digest()
        self.file.write(codes)
        self.stored_runs.append((self.total, self.total + len(codes)))
        self.digest.update(codes)
        array = np.frombuffer(codes, dtype=np.uint8)
        self.counts += np.bincount(array, minlength=16)
        if N in codes or N | SOFT_MASK in codes:
            is_unknown = (array & PLAIN) == N
            is_edge = np.diff(is_unknown, prepend=False, append=False)
            edges = np.flatnonzero(is_edge)
            self._add_runs(edges.reshape(-1, 2) + self.total)
        self.total += len(codes)
        self.contigs[-1][1] += len(codes)

    def _begin_digest(self) -> None:
        name, length, _ = self.contigs[-1]
        if not length:
            self.digest.update(f">{name}\n".encode())

    def add_unknown(self, count: int) -> None:
        """Add Ns to the last contig without storing them."""
        if not count:
            return
        self._begin_digest()
        for at in range(0, count, BLOCK):
            self.digest.update(bytes([N]) * min(BLOCK, count - at))
        self._add_runs(np.array([[self.total, self.total + count]]))
        self.left_out += count
        self.counts[N] += count
        self.total += count
        self.contigs[-1][1] += count

    def _add_runs(self, runs: Integers) -> None:
        if len(self.last_run) and self.last_run[0, 1] == runs[0, 0]:
            runs[0, 0] = self.last_run[0, 0]
            self.last_run = runs[:0]
        done = np.concatenate([self.last_run, runs[:-1]])
        self.last_run = runs[-1:]
        self.unknown.write(done.tobytes())
        self.runs += len(done)

    def drop_empty(self) -> None:
        """Leave out the last contig, and count it, if it has no bases."""
        if self.contigs and not self.contigs[-1][1]:
            del self.files[self.contigs.pop()[0]]
            self.empty_records += 1

    def finish(self, source: str, files: list[str]) -> None:
        """Write what is known at the end."""
        self.file.close()
        self.unknown.write(self.last_run.tobytes())
        self.unknown.close()
        stored: dict[str, int] = {}
        if self.left_out:
            runs = merge(np.array(self.stored_runs, dtype=np.int64).reshape(-1, 2))
            runs.tofile(self.work / STORED)
            stored = {"stored": self.total - self.left_out, "stored_runs": len(runs)}
        plain = self.counts[:SOFT_MASK] + self.counts[SOFT_MASK:]
        about = {
            "format": FORMAT,
            "bases": self.total,
            **stored,
            "unknown_runs": self.runs + len(self.last_run),
            "counts": dict(zip("ACGTN", plain.tolist(), strict=False)),
            "soft_masked": int(self.counts[SOFT_MASK:].sum()),
            "fingerprint": shortened(self.digest),
            "source": source,
            "files": files,
            "empty_records": self.empty_records,
            "contigs": self.contigs,
        }
        (self.work / META).write_text(json.dumps(about) + "\n")
