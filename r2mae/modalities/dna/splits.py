"""Where a recipe's genome or alignment is: a store, or files that become one in the cache; windows of its splits."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from r2mae.data.card import load_card, locate, missing_data
from r2mae.data.kinds import FOLDER, kind_of_path
from r2mae.data.source import SampleSource, hold_out
from r2mae.errors import InputError
from r2mae.modalities.dna.alignment.build import open_alignment
from r2mae.modalities.dna.alignment.store import AlignmentStore
from r2mae.modalities.dna.genome.build import open_genome
from r2mae.modalities.dna.genome.files import expand_dna
from r2mae.modalities.dna.genome.intervals import choose_parts
from r2mae.modalities.dna.genome.simulated import simulated_fasta
from r2mae.modalities.dna.genome.store import GenomeStore
from r2mae.modalities.dna.genome.tracks import open_track
from r2mae.modalities.dna.genome.windows import Windows
from r2mae.modalities.dna.schema import DnaData


def open_windows(section: DnaData, split: str) -> SampleSource:
    """Windows of a split: "test" is what data.test names, or else what is held out of training.

    Raises: InputError when the data is not there or damaged, or a split holds no window.
    """
    windows = _windows(section, split)
    return (
        hold_out(windows, section.held_out)[1]
        if split == "test" and not section.test
        else windows
    )


def open_given_windows(section: DnaData, paths: list[str]) -> SampleSource:
    """All windows of files, or of a store, that a user names."""
    everything = section.model_copy(
        update={"include": (), "exclude": (), "test": (), "card": "genome_files"}
    )
    if len(paths) != 1:
        raise InputError(f"DATA must be one file, store or glob, got {len(paths)}.")
    return _windows(
        everything.model_copy(
            update={"root": paths[0], "tracks": type(section.tracks)()}
        ),
        "train",
    )


def _windows(section: DnaData, split: str) -> Windows:
    alignment = find_alignment(section)
    genome = find_genome(section) if alignment is None else alignment.reference
    parts, *taken = _parts(section, split)
    track_files = {
        "phylop": section.tracks.phylop,
        "phastcons": section.tracks.phastcons,
    }
    tracks = {
        name: open_track(Path(path), genome, aliases=section.tracks.aliases)
        for name, path in track_files.items()
        if path is not None
    }
    try:
        return Windows(
            genome,
            section.length,
            stride=section.stride,
            least_known=section.least_known,
            include=parts.regions,
            exclude=[region for part in taken for region in part.regions],
            both_strands=section.both_strands,
            alignment=alignment,
            least_aligned=0.0
            if section.alignment is None
            else section.alignment.least_aligned,
            tracks=tracks,
            aliases=section.tracks.aliases,
        )
    except InputError:
        _check_left(section, genome, parts, taken)
        raise


class _Part(NamedTuple):
    """Parts of a genome, and the key that names them."""

    key: str
    regions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.key} [{', '.join(self.regions)}]"


def _parts(section: DnaData, split: str) -> list[_Part]:
    """What a split is of, and what is taken out of that."""
    include, exclude, test = (
        _Part(f"data.{key}", getattr(section, key))
        for key in ("include", "exclude", "test")
    )
    return (
        [test, exclude]
        if split == "test" and test.regions
        else [include, exclude, test]
    )


def _check_left(
    section: DnaData, genome: GenomeStore, parts: _Part, taken: list[_Part]
) -> None:
    """Raise InputError that names the key which leaves no window's length of parts that have it."""
    length, aliases = section.length, section.tracks.aliases
    place = str(parts) if parts.regions else genome.called
    out: list[str] = []
    was_enough = False
    for part in (_Part("", ()), *taken):
        out += part.regions
        left = choose_parts(genome, parts.regions, out, aliases)
        longest = int((left[:, 1] - left[:, 0]).max(initial=0))
        window = f"a window of data.length, {length:,} bases"
        if was_enough and longest < length:
            raise InputError(
                f"{part} must leave {window}, in {place}, got {longest:,} at most. Name less in it."
            )
        if parts.regions and not out and longest < length:
            raise InputError(
                f"{parts} must hold {window}, got {longest:,} at most. Name longer parts."
            )
        was_enough = longest >= length


def find_genome(section: DnaData) -> GenomeStore:
    """The genome of a section without an alignment."""
    return open_genome(_paths(section), name_by_file=section.name_by_file)


def find_alignment(section: DnaData) -> AlignmentStore | None:
    """The alignment of a section; None for one that has none.

    Raises: InputError when it has another number of species than the section says.
    """
    options = section.alignment
    if options is None:
        return None
    genome = None
    if options.genome is not None:
        place = Path(options.genome)
        genome = open_genome(
            [place] if place.is_dir() else expand_dna([options.genome])
        )
    store = open_alignment(_paths(section), options.reference, genome)
    if options.species not in (None, len(store.species)):
        raise InputError(
            f"data.alignment.species must be {len(store.species)}, as {store.called} has, got {options.species}."
        )
    if options.reference not in (None, store.species[0]):
        raise InputError(
            f"data.alignment.reference must be {store.species[0]}, as {store.called} has, got {options.reference}."
        )
    if options.names is not None and options.names != tuple(store.species):
        at = next(
            n
            for n, pair in enumerate(zip(options.names, store.species, strict=False))
            if pair[0] != pair[1]
        )
        order = ",".join(options.names[1:])
        raise InputError(
            f"{store.called} must have the run's species in the run's order, {options.names[at]!r} as number {at + 1}, "
            f"got {store.species[at]!r}. Build a store so: r2mae data build msa --species {order}."
        )
    return store


def _paths(section: DnaData) -> list[Path]:
    """The store's folder, or files."""
    card = load_card(section.card)
    if card.embedded is not None and section.root is None:
        return [simulated_fasta()]
    place = locate(card, section.root)
    if place is None:
        raise missing_data(card)
    return places_of(place, card.files.get("train", ()))


def places_of(place: Path, names: Sequence[str] = ()) -> list[Path]:
    """The store's folder, or the files at a place; names: those in a folder that is no store.

    Raises: InputError where there are none.
    """
    if not place.is_dir():
        return expand_dna([str(place)])
    if any((place / name).is_file() for name in ("meta.json", "store.json")):
        return [place]
    if not names:
        kind = "" if kind_of_path(place) == FOLDER else f", {kind_of_path(place)}"
        raise InputError(
            f"data.root must be a store, a file or a glob, got the folder {str(place)!r}{kind}. "
            "Name the store, or the files in it."
        )
    return expand_dna([str(place / name) for name in names])
