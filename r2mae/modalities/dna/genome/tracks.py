"""Values of a genome's bases (conservation scores, say) from bedGraph, wiggle or tables, one float32 a base."""

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from r2mae.data.building import building, one_at_a_time
from r2mae.data.cache import cache_folder
from r2mae.data.fingerprint import shortened
from r2mae.data.mapped import Integers, MappedArray, MappedStore
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.files import open_dna, state_word
from r2mae.modalities.dna.genome.intervals import count_up
from r2mae.modalities.dna.genome.store import GenomeStore, check_inside

Numbers = npt.NDArray[np.float64]
_VALUES, _META = "values.bin", "meta.json"
_TOGETHER = 1 << 19  # lines, and bases, that are looked at together
_COLUMNS = {"fixedStep": 1, "variableStep": 2, "table": 3, "bedGraph": 4}


class Track(MappedStore):
    """Values along the flat array of a genome's bases, mapped; nan where there is none."""

    @cached_property
    def _mapped(self) -> MappedArray:
        return MappedArray(self.place / _VALUES, np.float32, self.meta["bases"])

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """(T,)."""
        return self._mapped.array

    def take(self, starts: Integers, length: int) -> npt.NDArray[np.float32]:
        """(B, length) values from starts (B,) in the flat array; all must lie in it."""
        return self._mapped.take(starts, length)

    def fetch(
        self, genome: GenomeStore, contig: str, start: int, stop: int
    ) -> npt.NDArray[np.float32]:
        """(stop - start,) values, 0-based, half-open."""
        found = genome.contig(contig)
        check_inside(self.called, contig, found.length, start, stop)
        offset = found.offset
        return np.array(self.values[offset + start : offset + stop])


def open_track(
    path: Path, genome: GenomeStore, aliases: Mapping[str, str] | None = None
) -> Track:
    """Values of a file, kept in the cache along the genome's bases.

    wiggle and bedGraph as the browsers have them; tables of contig, position (from 1) and value between blanks, with or
    without a line of names. Contigs that the genome lacks are left out and counted in meta["other_contigs"]; what comes
    twice counts as it came last.

    Args:
        path: of the file, zipped or not.
        genome: whose bases.
        aliases: the genome's name of a contig by the file's.

    Raises: InputError for lines that cannot be read, positions beyond a contig, no contig of the genome.
    """
    names = dict(aliases or {})
    if not path.is_file():
        raise InputError(
            f"{path} must be a file of values, got nothing there. Check the path."
        )
    word = state_word([path], genome.fingerprint, sorted(names.items()))
    place = cache_folder("dna") / f"track_{word}"
    with one_at_a_time(place):
        if (found := _kept(place)) is None:
            shutil.rmtree(place, ignore_errors=True)
            with building(place) as work:
                about = _write(work, path, genome, names) | {"files": [str(path)]}
                with (work / _VALUES).open(
                    "rb"
                ) as file:  # by content: files may be touched, and moved
                    digest = hashlib.file_digest(file, "sha256")
                about["fingerprint"] = shortened(digest)
                (work / _META).write_text(json.dumps(about))
            found = _kept(place)
    assert found is not None
    return found


def _kept(place: Path) -> Track | None:
    """What is in the cache; None where it is not there, or not whole."""
    try:
        meta = json.loads((place / _META).read_text())
        is_whole = (place / _VALUES).stat().st_size == 4 * meta["bases"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Track(place, meta) if is_whole else None


class _Intervals(NamedTuple):
    """Intervals of one contig from one line on: starts and stops (I,) from 0, and values (I,)."""

    line: int
    contig: str
    starts: Numbers
    stops: Numbers
    values: Numbers


def _write(
    work: Path, path: Path, genome: GenomeStore, aliases: dict[str, str]
) -> dict[str, Any]:
    """Write a value for each base of the genome, nan where the file has none; gives counts for meta.json."""
    bases = len(genome.bases)
    with (work / _VALUES).open("wb") as file:
        for at in range(0, bases, _TOGETHER):
            np.full(min(_TOGETHER, bases - at), np.nan, dtype=np.float32).tofile(file)
    flat = np.memmap(work / _VALUES, dtype=np.float32, mode="r+", shape=(bases,))
    others: set[str] = set()
    is_empty = True
    for part in _read(path):
        name = aliases.get(part.contig, part.contig)
        if name not in genome.numbers:
            others.add(part.contig)
            continue
        contig, is_empty = genome.contig(name), False
        _check_within(path, part, contig, genome)
        for positions, values in _spread(part):
            flat[contig.offset + positions] = values
    if is_empty:
        name = min(others, default="")
        contigs = f"{name!r}" if name else "no value"
        near = f"{genome.near(name)} Where names differ, give aliases: {name} = NAME."
        raise InputError(
            f"{path} must have values of contigs of {genome.called}, got {contigs}. {near}"
        )
    parts = range(0, bases, _TOGETHER)
    present = sum(int(np.isfinite(flat[at : at + _TOGETHER]).sum()) for at in parts)
    flat.flush()
    return {"bases": bases, "values": present, "other_contigs": len(others)}


def _check_within(path: Path, part: Any, contig: Any, genome: GenomeStore) -> None:
    """Raise InputError for an interval that reaches beyond its contig."""
    wrong = np.flatnonzero((part.starts < 0) | (part.stops > contig.length))
    if not len(wrong):
        return
    start, stop = part.starts[wrong[0]], part.stops[wrong[0]]
    position = max(start + 1, stop) if start >= 0 else 0
    raise InputError(
        f"{path}: positions of {part.contig} must lie within {contig.length:,} bases, as {genome.called} has, "
        f"got {position:,.0f} at or after line {part.line:,}."
    )


def _read(path: Path) -> Iterator[_Intervals]:
    """All values, in the order of the file."""
    if path.name.removesuffix(".gz").endswith(".bed"):
        raise InputError(
            f"{path} must have a value for each interval, got a BED file. Use bedGraph."
        )
    kind, words, held, start = "", {}, [], 1  # type: tuple[str, dict[str, str], list[bytes], int]
    with open_dna(path) as file:
        for number, line in enumerate(file, 1):
            is_special = line[:1] in b"\n\r#tbfv"
            if is_special and (
                line[:1] in b"\n\r#" or line.split()[0] in (b"track", b"browser")
            ):
                continue
            if is_special and line.split()[0] in (b"fixedStep", b"variableStep"):
                yield from _parse(path, kind, words, held, start)
                kind, words, held = *_declared(path, number, line), []
            else:
                if not kind:
                    kind = _guess(path, number, line)
                    if not any(map(_is_number, line.split()[1:])):  # names of columns
                        continue
                if not held:
                    start = number
                held.append(line)
                if len(held) == _TOGETHER:
                    yield from _parse(path, kind, words, held, start)
                    held = []
        yield from _parse(path, kind, words, held, start)


def _declared(path: Path, number: int, line: bytes) -> tuple[str, dict[str, str]]:
    kind, *pairs = line.decode(errors="replace").split()
    words = {"span": "1", "step": "1"} | dict(
        pair.partition("=")[::2] for pair in pairs
    )
    needed = ("chrom", "start") if kind == "fixedStep" else ("chrom",)
    if not all(words.get(name) for name in needed) or not all(
        words[name].isdecimal() and int(words[name][:18]) > 0
        for name in ("start", "step", "span")
        if name in words
    ):
        raise InputError(
            f"{path}: line {number:,} must name {' and '.join(needed)}, numbers from 1, got {line[:60]!r}."
        )
    if kind == "fixedStep" and int(words["span"]) > int(words["step"]):
        raise InputError(
            f"{path}: line {number:,} must have a span of its step at most, got {line[:60]!r}."
        )
    return kind, words


def _guess(path: Path, number: int, line: bytes) -> str:
    """What a file without a declaration is, by its columns."""
    kinds = {3: "table", 4: "bedGraph"}
    if (count := len(line.split())) not in kinds:
        raise InputError(
            f"{path}: line {number:,} must be wiggle, bedGraph or a table of contig, position, value, "
            f"got {count} words: {line[:40]!r}."
        )
    return kinds[count]


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _parse(
    path: Path, kind: str, words: dict[str, str], held: list[bytes], start: int
) -> Iterator[_Intervals]:
    """Values of lines of one kind. A fixedStep's start moves on in `words`, for lines that follow."""
    columns = _COLUMNS[kind] if held else 0
    if columns > 2:  # each line names its contig
        for name, group in groupby(held, key=lambda line: line.split(None, 1)[0]):
            lines = list(group)
            cells = _numbers(
                path, kind, [line[len(name) :] for line in lines], columns - 1, start
            )
            stops = cells[:, 1] if kind == "bedGraph" else cells[:, 0]
            starts = cells[:, 0] if kind == "bedGraph" else cells[:, 0] - 1
            yield _checked(
                path,
                _Intervals(
                    start, name.decode(errors="replace"), starts, stops, cells[:, -1]
                ),
            )
            start += len(lines)
    elif columns:
        cells, span = _numbers(path, kind, held, columns, start), int(words["span"])
        starts = cells[:, 0] - 1
        if kind == "fixedStep":
            step = int(words["step"])
            starts = (
                float(words["start"])
                - 1
                + step * np.arange(len(held), dtype=np.float64)
            )
            words["start"] = str(int(words["start"]) + step * len(held))
        yield _checked(
            path, _Intervals(start, words["chrom"], starts, starts + span, cells[:, -1])
        )


def _numbers(
    path: Path, kind: str, lines: list[bytes], columns: int, start: int
) -> Numbers:
    """(L, columns) of lines. Raises: InputError for the first that does not hold as many numbers."""
    try:
        found = np.fromstring(b" ".join(lines), dtype=np.float64, sep=" ")
        cells = found.reshape(len(lines), columns)
        places = cells[:, : columns - 1]
        is_good = bool((places == np.floor(places)).all()) and not np.isinf(cells).any()
        if is_good and _words_a_line(lines, columns):
            return cells
    except (
        ValueError,
        DeprecationWarning,
    ):  # fewer numbers, since reading stops at what is none
        pass
    wrong = next(
        (
            number
            for number, line in enumerate(lines)
            if not _holds(line.split(), columns)
        ),
        0,
    )
    raise InputError(
        f"{path}: line {start + wrong:,} must be {_COLUMNS[kind]} words of {kind}, numbers where they belong, "
        f"got {lines[wrong].strip()[:60]!r}."
    )


def _words_a_line(lines: list[bytes], columns: int) -> bool:
    """Whether each line has as many words: their number in all may be right where two lines are wrong."""
    if columns == 1:  # of a genome there are billions: none may hold a blank, or be one
        text = b"".join(lines)
        return b" " not in text and b"\t" not in text and min(map(len, lines)) > 1
    return all(len(line.split()) == columns for line in lines)


def _holds(cells: list[bytes], columns: int) -> bool:
    """Whether words are whole numbers and at last a number."""
    is_number = (
        len(cells) == columns
        and all(map(bytes.isdigit, cells[:-1]))
        and _is_number(cells[-1])
    )
    return is_number and not math.isinf(float(cells[-1]))


def _checked(path: Path, part: _Intervals) -> _Intervals:
    """Raise InputError for an interval that is empty."""
    if (wrong := np.flatnonzero(part.stops <= part.starts)).size:
        first = int(wrong[0])
        found = f"{part.starts[first]:.0f} to {part.stops[first]:.0f}"
        raise InputError(
            f"{path}: line {part.line + first:,} must end after it starts, got {found}."
        )
    return part


def _spread(part: _Intervals) -> Iterator[tuple[Integers, npt.NDArray[np.float32]]]:
    """(positions (V,), values (V,)) of every base of intervals, some of them at a time."""
    starts, stops = part.starts.astype(np.int64), part.stops.astype(np.int64)
    pieces = -(-(stops - starts) // _TOGETHER)  # of a long interval
    rows = np.repeat(np.arange(len(starts)), pieces)
    begins = starts[rows] + _TOGETHER * count_up(pieces)
    spans = np.minimum(stops[rows] - begins, _TOGETHER)
    cuts = np.flatnonzero(np.diff(np.cumsum(spans) // _TOGETHER)) + 1
    for some in np.split(np.arange(len(rows)), cuts):
        positions = np.repeat(begins[some], spans[some]) + count_up(spans[some])
        yield (
            positions,
            np.repeat(part.values[rows[some]], spans[some]).astype(np.float32),
        )
