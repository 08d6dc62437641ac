"""Intervals of a genome: contig names, samtools regions and BED files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from r2mae.data.mapped import Integers
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.files import open_dna, read_lines
from r2mae.modalities.dna.genome.interval_sets import intersect, invert, merge
from r2mae.modalities.dna.genome.store import Contig, GenomeStore, check_inside

_MAX_DIGITS = 18  # of a coordinate; more could overflow int64
_BED = (".bed", ".narrowpeak", ".broadpeak")


class Region(NamedTuple):
    """A part of a contig, 0-based, half-open, and whether its reverse strand is read."""

    contig: Contig
    start: int
    stop: int
    is_reverse: bool = False

    @property
    def name(self) -> str:
        """As samtools writes it: chr1:1001-1512, 1-based, inclusive."""
        return f"{self.contig.name}:{self.start + 1}-{self.stop}"


def is_bed(text: str) -> bool:
    """Whether a text is the name of a BED file, or of peaks, whose first six columns are BED's."""
    return text.lower().removesuffix(".gz").removesuffix(".bgz").endswith(_BED)


def read_regions(
    texts: Sequence[str], genome: GenomeStore, aliases: Mapping[str, str] | None = None
) -> list[Region]:
    """Regions of "chr1", "chr1:START-STOP" and files that `is_bed` names, in their order.

    START and STOP are 1-based and inclusive, as in samtools; BED is 0-based, half-open.

    aliases: {contig in BED files: in the genome}; a missing "chr" needs none.
    Raises: InputError for contigs and positions outside the genome.
    """
    regions: list[Region] = []
    for text in texts:
        if text in genome.numbers:
            contig = genome.contig(text)
            regions.append(Region(contig, 0, contig.length))
        elif is_bed(text):
            regions += _read_bed(Path(text), genome, dict(aliases or {}))
        elif Path(text).is_file():
            raise InputError(
                f"{text} must be a BED file, which ends in {', '.join(_BED)}, each also "
                "with .gz or .bgz, got another suffix. Rename it."
            )
        else:
            regions.append(_parse_region(text, genome))
    return regions


def parse_intervals(
    texts: Sequence[str], genome: GenomeStore, aliases: Mapping[str, str] | None = None
) -> Integers:
    """(I, 2) merged [start, stop) in the flat array of the texts of `read_regions`."""
    intervals = [
        (region.contig.offset + region.start, region.contig.offset + region.stop)
        for region in read_regions(texts, genome, aliases)
    ]
    return merge(np.array(intervals, dtype=np.int64).reshape(-1, 2))


def choose_parts(
    genome: GenomeStore,
    include: Sequence[str],
    exclude: Sequence[str],
    aliases: Mapping[str, str] | None = None,
) -> Integers:
    """(R, 2) sorted parts of contigs: those included, or all if empty, minus those excluded."""
    parts = np.stack([genome.offsets[:-1], genome.offsets[1:]], axis=1)
    if include:
        parts = intersect(parts, parse_intervals(include, genome, aliases))
    if exclude:
        excluded = parse_intervals(exclude, genome, aliases)
        parts = intersect(parts, invert(excluded, genome.size))
    return parts


def _parse_region(text: str, genome: GenomeStore) -> Region:
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
    return Region(contig, start, stop)


def _read_bed(path: Path, genome: GenomeStore, aliases: dict[str, str]) -> list[Region]:
    if not path.is_file():
        raise InputError(
            f"{path} must be a BED file, got no such file. Check the path."
        )
    regions = []
    with open_dna(path) as file:
        for number, line in read_lines(path, file):
            fields = _bed_fields(line)
            if not fields:
                continue
            if len(fields) < 3 or not (fields[1] + fields[2]).isdecimal():
                raise InputError(
                    f"{path}: line {number} must be contig, start, stop, "
                    f"got {line[:40]!r}. Begin a header with #."
                )
            name = aliases.get(fields[0], fields[0])
            index = genome.find(name)
            contig = genome.contig(name) if index < 0 else genome.contigs[index]
            start, stop = (int(field[:_MAX_DIGITS]) for field in fields[1:3])
            where = f"{path}, line {number}"
            if stop < start:
                raise InputError(
                    f"{where} must end at or after its start, got {start} to {stop}."
                )
            check_inside(where, fields[0], contig.length, start, stop)
            regions.append(Region(contig, start, stop, fields[5:6] == ["-"]))
    if not regions:
        raise InputError(f"{path} must name an interval, got none. Leave it out.")
    return regions


def _bed_fields(line: bytes) -> list[str]:
    """Columns of a line of BED; none of blank lines, comments and the browser's lines.

    Tabs part columns where there are any, since names may be empty or have spaces.
    """
    text = line.decode(errors="replace").strip()
    words = text.split()
    if not words or words[0] in ("track", "browser") or text.startswith("#"):
        return []
    if text.count("\t") < 2:
        return words
    return [field.strip() for field in text.split("\t")]
