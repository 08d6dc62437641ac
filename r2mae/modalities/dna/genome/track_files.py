"""Read values of positions from wiggle, bedGraph, bigWig and tables, in chunks."""

import math
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from r2mae.errors import InputError
from r2mae.modalities.dna.genome.big_wig import is_big_wig, read_big_wig
from r2mae.modalities.dna.genome.files import open_dna

Numbers = npt.NDArray[np.float64]
CHUNK = 1 << 19  # lines read at a time
_COLUMNS = {"fixedStep": 1, "variableStep": 2, "table": 3, "bedGraph": 4}
_FORMAT_BY_COLUMNS = {3: "table", 4: "bedGraph"}  # of files without a declaration
_MAX_DIGITS = 18  # of a coordinate; more could overflow int64


class Intervals(NamedTuple):
    """Intervals of one contig, 0-based, half-open: starts, stops and values (I,)."""

    line: int  # of the first
    contig: str
    starts: Numbers
    stops: Numbers
    values: Numbers


def read_intervals(path: Path, chunk: int = CHUNK) -> Iterator[Intervals]:
    """All values, in the order of the file.

    Raises: InputError for lines of no such format, and for BED, which has no values.
    """
    if path.name.removesuffix(".gz").endswith(".bed"):
        raise InputError(
            f"{path} must have a value for each interval, got a BED file. Use bedGraph."
        )
    if is_big_wig(path):
        for contig, start, values in read_big_wig(path):
            is_value = np.isfinite(values)
            starts = start + np.flatnonzero(is_value).astype(np.float64)
            yield Intervals(0, contig, starts, starts + 1, values[is_value])
        return
    section: _Section | None = None
    with open_dna(path) as file:
        for number, line in enumerate(file, 1):
            # Most lines are numbers: the first byte spares them the rest.
            is_special = line[:1] in b"\n\r#tbfv"
            if is_special and _is_comment(line):
                continue
            if is_special and line.split()[0] in (b"fixedStep", b"variableStep"):
                if section is not None:
                    yield from section.parse()
                section = _Section(path, *_parse_declaration(path, number, line))
                continue
            if section is None:
                section = _Section(path, _guess_format(path, number, line), {})
                if not any(map(_is_number, line.split()[1:])):  # column names
                    continue
            if not section.lines:
                section.first_line = number
            section.lines.append(line)
            if len(section.lines) == chunk:
                yield from section.parse()
    if section is not None:
        yield from section.parse()


def _is_comment(line: bytes) -> bool:
    """Whether a line is blank, a comment or a browser's track line."""
    return line[:1] in b"\n\r#" or line.split()[0] in (b"track", b"browser")


def _parse_declaration(
    path: Path, number: int, line: bytes
) -> tuple[str, dict[str, str]]:
    """(format, options) of a fixedStep or variableStep line."""
    file_format, *pairs = line.decode(errors="replace").split()
    options = {"span": "1", "step": "1"}
    options |= dict(pair.partition("=")[::2] for pair in pairs)
    needed = ("chrom", "start") if file_format == "fixedStep" else ("chrom",)
    has_all = all(options.get(name) for name in needed)
    numbers = [options[key] for key in ("start", "step", "span") if key in options]
    if not has_all or not all(map(_is_positive, numbers)):
        raise InputError(
            f"{path}: line {number:,} must set {' and '.join(needed)}, numbers from 1, "
            f"got {line[:60]!r}."
        )
    if file_format == "fixedStep" and int(options["span"]) > int(options["step"]):
        raise InputError(
            f"{path}: line {number:,} must have a span of at most its step, "
            f"got {line[:60]!r}."
        )
    return file_format, options


def _is_positive(text: str) -> bool:
    return text.isdecimal() and int(text[:_MAX_DIGITS]) > 0


def _guess_format(path: Path, number: int, line: bytes) -> str:
    """The format of a file without a declaration, by its number of columns."""
    count = len(line.split())
    if count not in _FORMAT_BY_COLUMNS:
        raise InputError(
            f"{path}: line {number:,} must be wiggle, bedGraph or a table of contig, "
            f"position, value, got {count} columns: {line[:40]!r}."
        )
    return _FORMAT_BY_COLUMNS[count]


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _Section:
    """Lines of one format: all of a bedGraph or table, or those after a declaration."""

    def __init__(self, path: Path, file_format: str, options: dict[str, str]) -> None:
        self.path, self.format, self.options = path, file_format, options
        self.lines: list[bytes] = []
        self.first_line = 1
        self.start = int(options.get("start", 1))  # of a fixedStep's next value

    def parse(self) -> Iterator[Intervals]:
        """Intervals of the lines so far, which are dropped."""
        lines, self.lines = self.lines, []
        if not lines:
            return
        if _COLUMNS[self.format] > 2:
            yield from self._parse_named(lines)
        else:
            yield self._parse_declared(lines)

    def _parse_named(self, lines: list[bytes]) -> Iterator[Intervals]:
        """Of bedGraph and tables, whose lines name their contig."""
        number, columns = self.first_line, _COLUMNS[self.format] - 1
        for name, group in groupby(lines, key=lambda line: line.split(None, 1)[0]):
            rest = [line[len(name) :] for line in group]
            cells = self._numbers(rest, columns, number)
            starts, stops = cells[:, 0], cells[:, 1]
            if self.format == "table":  # 1-based positions
                starts, stops = cells[:, 0] - 1, cells[:, 0]
            contig = name.decode(errors="replace")
            intervals = Intervals(number, contig, starts, stops, cells[:, -1])
            yield _check_lengths(self.path, intervals)
            number += len(rest)

    def _parse_declared(self, lines: list[bytes]) -> Intervals:
        """Of wiggle, after its declaration."""
        cells = self._numbers(lines, _COLUMNS[self.format], self.first_line)
        starts = cells[:, 0] - 1
        if self.format == "fixedStep":
            step = int(self.options["step"])
            steps = step * np.arange(len(lines), dtype=np.float64)
            starts = float(self.start) - 1 + steps
            self.start += step * len(lines)
        stops = starts + int(self.options["span"])
        contig = self.options["chrom"]
        intervals = Intervals(self.first_line, contig, starts, stops, cells[:, -1])
        return _check_lengths(self.path, intervals)

    def _numbers(self, lines: list[bytes], columns: int, first_line: int) -> Numbers:
        """(L, columns) numbers of lines.

        Raises: InputError for the first line of other columns.
        """
        cells = _parse_numbers(lines, columns)
        if cells is not None:
            return cells
        is_wrong = [not _is_valid(line.split(), columns) for line in lines]
        wrong = is_wrong.index(True) if any(is_wrong) else 0
        raise InputError(
            f"{self.path}: line {first_line + wrong:,} must have "
            f"{_COLUMNS[self.format]} columns of {self.format}, with integer positions "
            f"and a number as value, got {lines[wrong].strip()[:60]!r}."
        )


def _parse_numbers(lines: list[bytes], columns: int) -> Numbers | None:
    """(L, columns), None where a line is invalid."""
    try:
        numbers = np.fromstring(b" ".join(lines), dtype=np.float64, sep=" ")
        cells = numbers.reshape(len(lines), columns)
    except (ValueError, DeprecationWarning):  # fewer numbers: parsing stops at text
        return None
    positions = cells[:, : columns - 1]
    # Text that stops parsing leaves too few numbers, but for a last cell such as 0.5abc.
    if not any(map(_is_number, lines[-1].split()[-1:])):
        return None
    is_integer = bool((positions == np.floor(positions)).all())
    if is_integer and not np.isinf(cells).any() and _has_columns(lines, columns):
        return cells
    return None


def _has_columns(lines: list[bytes], columns: int) -> bool:
    """Whether each line has as many columns; the total can be right where two are wrong."""
    if columns == 1:  # genomes have billions of such lines, so do not split them
        text = b"".join(lines)
        return b" " not in text and b"\t" not in text and min(map(len, lines)) > 1
    return all(len(line.split()) == columns for line in lines)


def _is_valid(cells: list[bytes], columns: int) -> bool:
    """Whether cells are integer positions and a finite number, or nan."""
    if len(cells) != columns or not all(map(bytes.isdigit, cells[:-1])):
        return False
    return _is_number(cells[-1]) and not math.isinf(float(cells[-1]))


def _check_lengths(path: Path, intervals: Intervals) -> Intervals:
    """Raise InputError for an empty interval."""
    empty = np.flatnonzero(intervals.stops <= intervals.starts)
    if len(empty):
        first = int(empty[0])
        start, stop = intervals.starts[first], intervals.stops[first]
        raise InputError(
            f"{path}: line {intervals.line + first:,} must end after it starts, "
            f"got {start:.0f} to {stop:.0f}."
        )
    return intervals
