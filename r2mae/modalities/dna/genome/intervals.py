"""Parts of a genome: contigs, intervals in words, BED files; what is left of them where others are taken out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from r2mae.data.mapped import Integers
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.files import open_dna, read_lines
from r2mae.modalities.dna.genome.store import GenomeStore, check_inside

_DIGITS = 18


def parse_intervals(words: Sequence[str], genome: GenomeStore) -> Integers:
    """(I, 2) from where to where in the flat array, in order, of "chr1", "chr1:START-STOP" or FILE.bed[.gz].

    START and STOP count from 1 and include both ends, as samtools has it; BED files count from 0 and exclude STOP.
    Raises: InputError for contigs and bases that the genome lacks.
    """
    found: list[tuple[int, int]] = []
    for word in words:
        name = word.removesuffix(".gz")
        if word in genome.numbers:
            contig = genome.contig(word)
            found.append((contig.offset, contig.offset + contig.length))
        elif name.endswith(".bed"):
            found += _read_bed(Path(word), genome)
        else:
            found.append(_interval(word, genome))
    return merge(np.array(found, dtype=np.int64).reshape(-1, 2))


def choose_parts(
    genome: GenomeStore, include: Sequence[str], exclude: Sequence[str]
) -> Integers:
    """(R, 2) parts of contigs, in order: those included, or all where none are, without what is excluded."""
    contigs = np.stack([genome.offsets[:-1], genome.offsets[1:]], axis=1)
    parts = intersect(contigs, parse_intervals(include, genome)) if include else contigs
    if exclude:
        parts = intersect(
            parts, invert(parse_intervals(exclude, genome), len(genome.bases))
        )
    return parts


def merge(intervals: Integers) -> Integers:
    """Sorted, and those that overlap as one."""
    if not len(intervals):
        return intervals
    intervals = intervals[np.argsort(intervals[:, 0], kind="stable")]
    furthest = np.maximum.accumulate(intervals[:, 1])
    is_first = np.append(True, intervals[1:, 0] > furthest[:-1])
    firsts = np.flatnonzero(is_first)
    return np.stack(
        [intervals[firsts, 0], furthest[np.append(firsts[1:], len(intervals)) - 1]],
        axis=1,
    )


def invert(intervals: Integers, stop: int) -> Integers:
    """What merged intervals leave of 0 to stop."""
    edges = np.concatenate([[0], intervals.ravel(), [stop]]).reshape(-1, 2)
    return edges[edges[:, 0] < edges[:, 1]]


def intersect(first: Integers, second: Integers) -> Integers:
    """What is in both; within a list none may overlap, and touching ones stay apart."""
    low = np.searchsorted(second[:, 1], first[:, 0], "right")
    high = np.searchsorted(second[:, 0], first[:, 1], "left")
    counts = np.maximum(high - low, 0)
    rows = np.repeat(np.arange(len(first)), counts)
    others = low[rows] + count_up(counts)
    starts = np.maximum(first[rows, 0], second[others, 0])
    return np.stack([starts, np.minimum(first[rows, 1], second[others, 1])], axis=1)


def overlap(runs: Integers, starts: Integers, length: int | Integers) -> Integers:
    """(W,) how many places from starts (W,) on lie in sorted runs (R, 2)."""
    if not len(runs):
        return np.zeros(len(starts), dtype=np.int64)
    before = np.concatenate([[0], np.cumsum(runs[:, 1] - runs[:, 0])])

    def up_to(places: Integers) -> Integers:
        run = np.searchsorted(runs[:, 0], places, "right")
        inside = np.minimum(places, runs[run - 1, 1]) - runs[run - 1, 0]
        return np.where(run > 0, before[run - 1] + inside, 0)

    return up_to(starts + length) - up_to(starts)


def count_up(counts: Integers) -> Integers:
    """0 to n - 1 for every n of counts, one after the other."""
    found: Integers = np.arange(counts.sum()) - np.repeat(
        np.cumsum(counts) - counts, counts
    )
    return found


def _interval(word: str, genome: GenomeStore) -> tuple[int, int]:
    name, _, span = word.rpartition(":")
    first, dash, last = span.replace(",", "").partition("-")
    if not name or not dash or not (first.isdecimal() and last.isdecimal()):
        genome.contig(word)
    contig = genome.contig(name)
    start, stop = int(first) - 1, int(last)
    if not 0 <= start < stop:
        raise InputError(
            f"interval {word} must count from 1 and end after it starts, got {first} to {last}."
        )
    check_inside(genome.called, name, contig.length, start, stop)
    return contig.offset + start, contig.offset + stop


def _read_bed(path: Path, genome: GenomeStore) -> list[tuple[int, int]]:
    if not path.is_file():
        raise InputError(
            f"{path} must be a BED file, got nothing there. Check the path."
        )
    found = []
    with open_dna(path) as file:
        for number, line in read_lines(path, file):
            words = line.decode(errors="replace").split()
            if (
                not words
                or words[0] in ("track", "browser")
                or words[0].startswith("#")
            ):
                continue
            if len(words) < 3 or not (words[1].isdecimal() and words[2].isdecimal()):
                raise InputError(
                    f"{path}: line {number} must be contig, start, stop, got {line[:40]!r}."
                )
            contig = genome.contig(words[0])
            start, stop = (
                int(word[:_DIGITS]) for word in words[1:3]
            )  # more digits than any contig has
            check_inside(f"{path}, line {number}", words[0], contig.length, start, stop)
            found.append((contig.offset + start, contig.offset + stop))
    if not found:
        raise InputError(f"{path} must name an interval, got none. Leave it out.")
    return found
