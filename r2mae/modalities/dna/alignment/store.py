"""A store of an alignment: the bases of other species at each base of a reference.

meta.json     format, species (the reference first), contigs [name, length], counts, fingerprint, files
covered.bin   (R, 2) int64: starts and stops of the runs that blocks cover, in the reference's flat array
columns.bin   (C, species - 1) uint8 codes (see `bases`) at the C bases of these runs, 5 where a species has no base
reference/    the reference as a genome's store
"""

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from r2mae.data.kinds import ALIGNMENT, GENOME, kind_of_path
from r2mae.data.mapped import Integers, MappedStore
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import GAP, PLAIN, Codes
from r2mae.modalities.dna.genome.covered import CoveredRows
from r2mae.modalities.dna.genome.interval_sets import split_intervals
from r2mae.modalities.dna.genome.store import (
    META,
    Contig,
    GenomeStore,
    check_inside,
    open_genome_store,
)

COVERED, COLUMNS, REFERENCE = "covered.bin", "columns.bin", "reference"
FORMAT = "r2mae alignment store 2"
_PIECE = 4096  # bases of a run that `sample` yields together


class AlignmentStore(MappedStore):
    """A finished store, mapped. S species, the reference first; its fingerprint is of bases, species and files."""

    @property
    def species(self) -> list[str]:
        """Names of the S columns."""
        return list(self.meta["species"])

    @cached_property
    def reference(self) -> GenomeStore:
        """The genome that positions are of: its contigs are those of the alignment."""
        return open_genome_store(self.place / REFERENCE)

    @property
    def contigs(self) -> list[Contig]:
        """Those of the reference."""
        return self.reference.contigs

    @cached_property
    def covered(self) -> Integers:
        """(R, 2) runs with a block of the alignment, in the reference's flat array, in order."""
        return np.fromfile(self.place / COVERED, dtype=np.int64).reshape(-1, 2)

    @property
    def share(self) -> float:
        """Of the reference's bases, those that some block reaches."""
        return float(self.meta["covered"] / self.meta["positions"])

    @property
    def doubt(self) -> str:
        """What may be wrong with the species' names, and the remedy; "" where nothing is."""
        pair = self.meta.get("alike")  # stores of earlier versions have none
        if pair:
            name = pair[0].partition(".")[0]
            names = ",".join(".".join(source.split(".")[:2]) for source in pair)
            return f"{pair[0]} and {pair[1]} count as one species, {name}; if these are two: --species {names},..."
        for contig in self.contigs:
            version, dot, rest = contig.name.partition(".")
            if dot and version.isdecimal():  # as in GCA_000001405.15.chr1
                full_name = f"{self.species[0]}.{version}"
                return (
                    f"contig {contig.name} is of {self.species[0]}; "
                    f"if it is {rest} of {full_name}: --reference {full_name}"
                )
        return ""

    @property
    def odd_rows(self) -> str:
        """How many rows of other species were left out, and why the first; "" for none."""
        count = self.meta.get("odd_rows", 0)
        if not count:
            return ""
        return f"odd rows left out: {count:,}, the first: {self.meta['first_odd_row']}"

    @cached_property
    def _columns(self) -> CoveredRows:
        empty = np.full(len(self.meta["species"]) - 1, GAP, dtype=np.uint8)
        return CoveredRows(self.place / COLUMNS, self.covered, empty)

    def fetch(self, contig: str, start: int, stop: int) -> Codes:
        """(stop - start, S) codes, 0-based, half-open. Raises: InputError for what is not in the contig."""
        length = self.reference.contig(contig).length
        check_inside(self.called, contig, length, start, stop)
        number = np.array([self.reference.numbers[contig]])
        codes: Codes = self.take_padded(number, np.array([start]), stop - start)[0]
        return codes

    def take_others(self, starts: Integers, length: int) -> Codes:
        """(B, length, S - 1) codes of the other species from starts (B,) in the flat array."""
        return self._columns.take(starts, length)

    def take_padded(self, numbers: Integers, starts: Integers, length: int) -> Codes:
        """(B, length, S) codes from starts (B,) within contigs of numbers (B,): beyond an end N, and gaps."""
        reference = self.reference
        bases = reference.take_padded(numbers, starts, length) & PLAIN
        low, high = reference.offsets[numbers], reference.offsets[numbers + 1]
        others = self._columns.take(low + starts, length, (low, high))
        return np.concatenate([bases[:, :, None], others], axis=2)

    def sample(self, most_bases: int) -> Iterator[tuple[int, Codes]]:
        """(start in the reference's flat array, (n, S) codes) of covered pieces.

        Pieces are evenly spaced and have about most_bases in all, or the alignment's
        bases if there are fewer.
        """
        pieces = split_intervals(self.covered, _PIECE)
        step = max(1, -(-self.meta["covered"] // most_bases))
        for start, stop in pieces[::step].tolist():
            number = int(np.searchsorted(self.reference.offsets, start, "right")) - 1
            contig = self.contigs[number]
            for_contig = (start - contig.offset, stop - contig.offset)
            yield start, self.fetch(contig.name, *for_contig)


def is_alignment_store(place: Path) -> bool:
    """Whether a folder says that it is a finished alignment."""
    return (place / META).is_file() and (place / COVERED).is_file()


def open_alignment_store(place: Path) -> AlignmentStore:
    """Map a store. Raises: InputError for one that is damaged or of another kind."""
    try:
        meta = json.loads((place / META).read_text())
        format_name, runs = meta["format"], meta["covered_runs"]
        columns = meta["covered"] * (len(meta["species"]) - 1)
    except (OSError, ValueError, KeyError, TypeError):
        kind = kind_of_path(place)
        hint = (
            " A genome alone is read without data.alignment." if kind == GENOME else ""
        )
        got = "a damaged one" if kind == ALIGNMENT else kind
        raise InputError(
            f"{place} must be {ALIGNMENT}, got {got}. Build one: r2mae data build msa.{hint}"
        ) from None
    if format_name != FORMAT:
        raise InputError(
            f"{place / META} must say {FORMAT!r}, got {format_name!r}. "
            "Delete the folder and build it again: r2mae data build msa."
        )
    for name, expected in ((COVERED, 16 * runs), (COLUMNS, columns)):
        path = place / name
        size = path.stat().st_size if path.is_file() else 0
        if size != expected:
            raise InputError(
                f"{path} must have {expected:,} bytes, got {size:,}. Build it again."
            )
    store = AlignmentStore(place, meta)
    assert store.reference  # raises InputError for a damaged one
    return store
