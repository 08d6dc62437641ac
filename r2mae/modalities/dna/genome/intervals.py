"""Intervals of a genome: contig names, samtools regions and BED files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from r2mae.data.mapped import Integers
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.files import open_dna, read_lines
from r2mae.modalities.dna.genome.interval_sets import intersect, invert, merge
from r2mae.modalities.dna.genome.store import GenomeStore, check_inside

_MAX_DIGITS = 18  # of a coordinate; more could overflow int64


def parse_intervals(texts: Sequence[str], genome: GenomeStore) -> Integers:
    """(I, 2) merged [start, stop) in the flat array of "chr1", "chr1:START-STOP" or FILE.bed[.gz].

    START and STOP are 1-based and inclusive, as in samtools; BED is 0-based, half-open.
    Raises: InputError for contigs and positions outside the genome.
    """
    intervals: list[tuple[int, int]] = []
    for text in texts:
        if text in genome.numbers:
            contig = genome.contig(text)
            intervals.append((contig.offset, contig.offset + contig.length))
        elif text.removesuffix(".gz").endswith(".bed"):
            intervals += _read_bed(Path(text), genome)
        else:
            intervals.append(_parse_region(text, genome))
    return merge(np.array(intervals, dtype=np.int64).reshape(-1, 2))


def choose_parts(
    genome: GenomeStore, include: Sequence[str], exclude: Sequence[str]
) -> Integers:
    """(R, 2) sorted parts of contigs: those included, or all if empty, minus those excluded."""
    contigs = np.stack([genome.offsets[:-1], genome.offsets[1:]], axis=1)
    parts = intersect(contigs, parse_intervals(include, genome)) if include else contigs
    if exclude:
        excluded = parse_intervals(exclude, genome)
        parts = intersect(parts, invert(excluded, genome.size))
    return parts


def _parse_region(text: str, genome: GenomeStore) -> tuple[int, int]:
    name, _, span = text.rpartition(":")
    first, dash, last = span.replace(",", "").partition("-")
    if not name or not dash or not (first.isdecimal() and last.isdecimal()):
        genome.contig(text)  # raises: the text is no contig of the genome
    contig = genome.contig(name)
    start, stop = int(first) - 1, int(last)
    if not 0 <= start < stop:
        raise InputError(
            f"interval {text} must be 1-based and end at or after its start, "
            f"got {first} to {last}."
        )
    check_inside(genome.called, name, contig.length, start, stop)
    return contig.offset + start, contig.offset + stop


def _read_bed(path: Path, genome: GenomeStore) -> list[tuple[int, int]]:
    if not path.is_file():
        raise InputError(
            f"{path} must be a BED file, got no such file. Check the path."
        )
    intervals = []
    with open_dna(path) as file:
        for number, line in read_lines(path, file):
            fields = line.decode(errors="replace").split()
            is_header = not fields or fields[0] in ("track", "browser")
            if is_header or fields[0].startswith("#"):
                continue
            if len(fields) < 3 or not (fields[1] + fields[2]).isdecimal():
                raise InputError(
                    f"{path}: line {number} must be contig, start, stop, "
                    f"got {line[:40]!r}."
                )
            contig = genome.contig(fields[0])
            start, stop = (int(field[:_MAX_DIGITS]) for field in fields[1:3])
            where = f"{path}, line {number}"
            check_inside(where, fields[0], contig.length, start, stop)
            intervals.append((contig.offset + start, contig.offset + stop))
    if not intervals:
        raise InputError(f"{path} must name an interval, got none. Leave it out.")
    return intervals
