"""Tracks: one float32 per base of a genome, e.g. conservation scores, cached from files."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.atomic import atomic_folder
from r2mae.data.cache import cache_folder, open_cached
from r2mae.data.fingerprint import shortened
from r2mae.data.lock import one_at_a_time
from r2mae.data.mapped import Integers, MappedArray, MappedStore
from r2mae.data.space import check_space
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.files import state_fingerprint
from r2mae.modalities.dna.genome.interval_sets import count_up
from r2mae.modalities.dna.genome.store import Contig, GenomeStore, check_inside
from r2mae.modalities.dna.genome.track_files import Intervals, read_intervals

_VALUES, _META = "values.bin", "meta.json"
_CHUNK = 1 << 19  # bases, or lines, processed at a time


class Track(MappedStore):
    """Memory-mapped values along the flat array of a genome's bases; nan for none."""

    @cached_property
    def _mapped(self) -> MappedArray:
        return MappedArray(self.place / _VALUES, np.float32, self.meta["bases"])

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """(T,)."""
        return self._mapped.array

    def take(self, starts: Integers, length: int) -> npt.NDArray[np.float32]:
        """(B, length) values from starts (B,) in the flat array, all within it."""
        return self._mapped.take(starts, length)

    def fetch(
        self, genome: GenomeStore, contig: str, start: int, stop: int
    ) -> npt.NDArray[np.float32]:
        """(stop - start,) values, 0-based, half-open."""
        _, length, offset = genome.contig(contig)
        check_inside(self.called, contig, length, start, stop)
        return np.array(self.values[offset + start : offset + stop])


def open_track(
    path: Path, genome: GenomeStore, aliases: Mapping[str, str] | None = None
) -> Track:
    """The values of a file along a genome, from the cache if the file is unchanged.

    Formats: wiggle, bedGraph, bigWig (.bw, .bigWig), or a whitespace-separated table of contig, 1-based position
    and value, with or without a header. Contigs missing from the genome are counted in
    meta["other_contigs"]. Where a position is repeated, the last value counts.

    Args:
        path: of the file, plain or gzipped.
        genome: the track's reference.
        aliases: {contig in the file: contig in the genome}.

    Raises: InputError for invalid lines, positions outside a contig, and files without
        a contig of the genome.
    """
    names = dict(aliases or {})
    if not path.is_file():
        raise InputError(
            f"{path} must be a file of values, got no such file. Check the path."
        )
    key = state_fingerprint([path], genome.fingerprint, sorted(names.items()))
    place = cache_folder("dna") / f"track_{key}"

    def build() -> Track:
        with one_at_a_time(place):
            if not place.is_dir():
                with atomic_folder(place) as work:
                    _build(work, path, genome, names)
        return _open_store(place)

    return open_cached(place, _open_store, build)


def _open_store(place: Path) -> Track:
    """A track in the cache. Raises: InputError when it is incomplete."""
    try:
        meta = json.loads((place / _META).read_text())
        is_complete = (place / _VALUES).stat().st_size == 4 * meta["bases"]
    except (OSError, ValueError, KeyError, TypeError):
        is_complete = False
    if not is_complete:
        raise InputError(f"{place} must be a complete track, got a damaged one.")
    return Track(place, meta)


def _build(
    work: Path, path: Path, genome: GenomeStore, aliases: dict[str, str]
) -> None:
    """Write a track's files."""
    bases = genome.size
    check_space(work, 4 * bases, "Delete files, or set XDG_CACHE_HOME to another disk.")
    with (work / _VALUES).open("wb") as file:
        for at in range(0, bases, _CHUNK):
            np.full(min(_CHUNK, bases - at), np.nan, dtype=np.float32).tofile(file)
    flat = np.memmap(work / _VALUES, dtype=np.float32, mode="r+", shape=(bases,))
    num_others = _fill(flat, path, genome, aliases)
    present = 0
    for at in range(0, bases, _CHUNK):
        present += int(np.isfinite(flat[at : at + _CHUNK]).sum())
    flat.flush()
    # A fingerprint of the content: files may be touched or moved.
    with (work / _VALUES).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    meta = {
        "bases": bases,
        "values": present,
        "other_contigs": num_others,
        "files": [str(path)],
        "fingerprint": shortened(digest),
    }
    (work / _META).write_text(json.dumps(meta))


def _fill(flat: Any, path: Path, genome: GenomeStore, aliases: dict[str, str]) -> int:
    """Write a file's values to flat (T,); returns the number of contigs left out."""
    others: set[str] = set()
    has_values = False
    for intervals in read_intervals(path, _CHUNK):
        number = genome.find(aliases.get(intervals.contig, intervals.contig))
        if number < 0:
            others.add(intervals.contig)
            continue
        has_values = True
        contig = genome.contigs[number]
        _check_bounds(path, intervals, contig, genome)
        for positions, values in _expand(intervals):
            flat[contig.offset + positions] = values
    if not has_values:
        name = min(others, default="")
        raise InputError(
            f"{path} must have values of contigs of {genome.called}, "
            f"got {repr(name) if name else 'no value'}. {genome.near(name)} "
            f"If names differ, set aliases: {name} = NAME."
        )
    return len(others)


def _check_bounds(
    path: Path, intervals: Intervals, contig: Contig, genome: GenomeStore
) -> None:
    """Raise InputError for positions outside the contig."""
    is_outside = (intervals.starts < 0) | (intervals.stops > contig.length)
    if is_outside.any():
        first = int(np.flatnonzero(is_outside)[0])
        start, stop = intervals.starts[first], intervals.stops[first]
        position = 0 if start < 0 else max(start + 1, stop)
        raise InputError(
            f"{path}: positions of {intervals.contig} must lie within "
            f"{contig.length:,} bases, as in {genome.called}, "
            f"got {position:,.0f} at or after line {intervals.line:,}."
        )


def _expand(
    intervals: Intervals,
) -> Iterator[tuple[Integers, npt.NDArray[np.float32]]]:
    """(positions (V,), values (V,)) of every base of intervals, in chunks."""
    starts = intervals.starts.astype(np.int64)
    stops = intervals.stops.astype(np.int64)
    pieces = -(-(stops - starts) // _CHUNK)  # of a long interval
    rows = np.repeat(np.arange(len(starts)), pieces)
    begins = starts[rows] + _CHUNK * count_up(pieces)
    spans = np.minimum(stops[rows] - begins, _CHUNK)
    cuts = np.flatnonzero(np.diff(np.cumsum(spans) // _CHUNK)) + 1
    for chosen in np.split(np.arange(len(rows)), cuts):
        lengths = spans[chosen]
        positions = np.repeat(begins[chosen], lengths) + count_up(lengths)
        values = intervals.values[rows[chosen]].astype(np.float32)
        yield positions, np.repeat(values, lengths)
