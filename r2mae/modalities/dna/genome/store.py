"""A store of a genome: one byte a base, which all processes of a machine map.

meta.json     format, bases, contigs [name, length, offset], counts, fingerprint (of contigs and bases), files
bases.bin     (T,) uint8 codes (see `bases`), contig after contig
unknown.bin   (R, 2) int64: from where to where there are only Ns
stored.bin    (Q, 2) int64: the parts of the T bases that bases.bin holds; all others are N. Only references of
              alignments have it, if no genome gave the bases outside of blocks.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from r2mae.data.kinds import ALIGNMENT, GENOME, kind_of_path
from r2mae.data.mapped import Integers, MappedArray, MappedStore
from r2mae.errors import InputError, did_you_mean
from r2mae.modalities.dna.genome.bases import Codes, N
from r2mae.modalities.dna.genome.covered import CoveredRows

META, BASES, UNKNOWN, STORED = "meta.json", "bases.bin", "unknown.bin", "stored.bin"
FORMAT = "r2mae genome store 1"


class Contig(NamedTuple):
    """A sequence, and where it begins in the flat array of bases."""

    name: str
    length: int
    offset: int


class GenomeStore(MappedStore):
    """A finished store, mapped. Its fingerprint is of names, lengths and bases, whatever files they came from."""

    @cached_property
    def contigs(self) -> list[Contig]:
        """In the order of the files."""
        return [Contig(*entry) for entry in self.meta["contigs"]]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """A contig's number by its name."""
        return {contig.name: number for number, contig in enumerate(self.contigs)}

    @cached_property
    def offsets(self) -> Integers:
        """(C + 1,) where contigs begin, and the end of the last."""
        ends = [contig.offset + contig.length for contig in self.contigs]
        return np.array([0, *ends], dtype=np.int64)

    @property
    def size(self) -> int:
        """T, the bases of all contigs."""
        return int(self.meta["bases"])

    @cached_property
    def _covered(self) -> CoveredRows | None:
        """The bases, where only parts are stored."""
        if "stored_runs" not in self.meta:
            return None
        runs = np.fromfile(self.place / STORED, dtype=np.int64).reshape(-1, 2)
        empty = np.array([N], dtype=np.uint8)
        return CoveredRows(self.place / BASES, runs, empty)

    @cached_property
    def _mapped(self) -> MappedArray:
        return MappedArray(self.place / BASES, np.uint8, self.size)

    @property
    def bases(self) -> Codes:
        """(T,) codes, with the bit of soft-masked ones. All of them must be stored."""
        return self._mapped.array

    @cached_property
    def unknown(self) -> Integers:
        """(R, 2) runs of Ns in the flat array, in order."""
        return np.fromfile(self.place / UNKNOWN, dtype=np.int64).reshape(-1, 2)

    def contig(self, name: str) -> Contig:
        """By name. Raises: InputError with names that are near."""
        if name not in self.numbers:
            raise InputError(
                f"{self.called} must have a contig {name!r}, got none so named. {self.near(name)}"
            )
        return self.contigs[self.numbers[name]]

    def find(self, name: str) -> int:
        """A contig's number by its name, with or without "chr"; -1 where it is missing."""
        bare = name.removeprefix("chr")
        spellings = [name, f"chr{name}", bare]
        if bare in ("M", "MT"):
            spellings += ["MT", "chrM", "M"]
        numbers = (self.numbers.get(spelling, -1) for spelling in spellings)
        return next((number for number in numbers if number >= 0), -1)

    def near(self, name: str) -> str:
        """A remedy that names the contig that was probably meant."""
        bare = name.removeprefix("chr")
        for other in (
            f"chr{name}",
            bare,
            {"M": "chrM", "MT": "chrM"}.get(bare, ""),
            "MT" if bare == "M" else "",
        ):
            if other in self.numbers:
                return f"Here it is called {other!r}."
        return did_you_mean(name, self.numbers)

    def fetch(self, contig: str, start: int, stop: int) -> Codes:
        """(stop - start,) codes, 0-based, half-open. Raises: InputError for what is not in the contig."""
        entry = self.contig(contig)
        check_inside(self.called, contig, entry.length, start, stop)
        first = np.array([entry.offset + start])
        codes: Codes = self.take(first, stop - start)[0]
        return codes

    def take(self, starts: Integers, length: int) -> Codes:
        """(B, length) codes from starts (B,) in the flat array; all must lie in it."""
        if self._covered is not None:
            return self._covered.take(starts, length)[:, :, 0]
        return self._mapped.take(starts, length)

    def take_padded(self, numbers: Integers, starts: Integers, length: int) -> Codes:
        """(B, length) codes from starts (B,) within contigs of numbers (B,): Ns where these reach beyond an end."""
        low, high = self.offsets[numbers], self.offsets[numbers + 1]
        if self._covered is not None:
            return self._covered.take(low + starts, length, (low, high))[:, :, 0]
        places = (low + starts)[:, None] + np.arange(length)
        is_inside = (places >= low[:, None]) & (places < high[:, None])
        inside = np.clip(places, 0, self.size - 1)
        return np.where(is_inside, self.bases[inside], np.uint8(N))


def check_inside(called: str, contig: str, length: int, start: int, stop: int) -> None:
    """Raise InputError unless start to stop lies in a contig."""
    if not 0 <= start <= stop <= length:
        raise InputError(
            f"{called}: {contig} must hold bases {start:,} to {stop:,}, got {length:,} bases."
        )


def is_genome_store(place: Path) -> bool:
    """Whether a folder says that it is a finished genome."""
    return (place / META).is_file() and (place / BASES).is_file()


def open_genome_store(place: Path) -> GenomeStore:
    """Map a store. Raises: InputError for one that is damaged or of another kind."""
    try:
        meta = json.loads((place / META).read_text())
        format_name = meta["format"]
        sizes = {
            BASES: meta.get("stored", meta["bases"]),
            UNKNOWN: 16 * meta["unknown_runs"],
        }
        if "stored_runs" in meta:
            sizes[STORED] = 16 * meta["stored_runs"]
        adds_up = sum(length for _, length, _ in meta["contigs"]) == meta["bases"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{place} must be {GENOME}, {_got(place)}") from None
    if format_name != FORMAT:
        raise InputError(
            f"{place / META} must say {FORMAT!r}, got {format_name!r}. Build it again."
        )
    if not adds_up:
        raise InputError(
            f"{place / META} must have contigs of all bases, got others. Build it again."
        )
    for name, expected in sizes.items():
        path = place / name
        held = path.stat().st_size if path.is_file() else 0
        if held != expected:
            raise InputError(
                f"{path} must have {expected:,} bytes, got {held:,}. Build it again."
            )
    return GenomeStore(place, meta)


def _got(place: Path) -> str:
    """What a folder is instead, and the remedy, as the end of a message."""
    kind = kind_of_path(place)
    if kind == ALIGNMENT:
        return f"got {kind}. Its genome is {place / 'reference'}; with data.alignment: {{}} all of it is read."
    return f"got {'a damaged one' if kind == GENOME else kind}. Build one: r2mae data build dna."
