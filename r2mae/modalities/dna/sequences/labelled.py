"""Open the labelled sequences of a recipe, a file's sequences, or sequences in memory."""

from collections.abc import Set
from pathlib import Path
from typing import Any

import numpy as np

from r2mae.data.card import load_card, locate, missing_data
from r2mae.data.fingerprint import fingerprint_bytes
from r2mae.data.labels import LabelColumn
from r2mae.data.objects import list_objects
from r2mae.data.source import SampleSource
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import COMPLEMENT, PLAIN, reverse_complement
from r2mae.modalities.dna.genome.files import expand_dna
from r2mae.modalities.dna.genome.intervals import Region
from r2mae.modalities.dna.genome.store import GenomeStore
from r2mae.modalities.dna.schema import DnaSequenceData
from r2mae.modalities.dna.sequences.files import (
    NO_SOFT_MASK,
    is_sequence_file,
    read_sequence_file,
)
from r2mae.modalities.dna.sequences.source import Sequences
from r2mae.modalities.dna.sequences.tables import row_codes

# For bytes.translate: complements of codes without soft masks.
_COMPLEMENTS = COMPLEMENT.tobytes().ljust(256, b"\0")


def open_sequences(
    section: DnaSequenceData, split: str, *, regression: bool = False
) -> SampleSource:
    """Labelled sequences of a split, "train" or "test".

    Training sequences that the test split holds too are left out.

    regression: labels are numbers, not classes.
    Raises: InputError when the data is missing or damaged, or a column is missing.
    """
    card = load_card(section.card)
    place = locate(card, section.root)
    if place is None:
        raise missing_data(card)
    files = {
        name: _find(place, card.files.get(name, (f"{name}.*",)))
        for name in ("train", "test")
    }
    label = section.label_column or card.label_column
    if split == "test":
        return _read(section, files["test"], label, regression=regression)
    tested = read_sequence_file(section, files["test"], None).codes
    if section.both_strands:
        tested = tested + [_reverse_complement(codes) for codes in tested]
    excluded = {_middle(codes, section.length) for codes in tested}
    return _read(section, files["train"], label, excluded, regression=regression)


def open_given_sequences(section: Any, paths: list[str]) -> SampleSource:
    """All sequences of a file that a user names, without labels."""
    files = expand_dna(paths)
    if len(files) > 1:
        raise InputError(
            f"DATA must be one file, got {len(files)} in {paths[0]}. Name one of them."
        )
    file = files[0]
    if not is_sequence_file(file):
        raise InputError(
            f"{file} must be .csv, .tsv, .jsonl, .parquet, .txt or FASTA, got {file.suffix!r}. Rename it."
        )
    return _read(section, file, None)


def open_regions(
    genome: GenomeStore, regions: list[Region], length: int
) -> SampleSource:
    """A sequence for each region, of the strand that its BED line names.

    length: bases. Longer regions are cropped equally at both ends.
    Raises: InputError for a region without bases.
    """
    for region in regions:
        if region.start == region.stop:
            raise InputError(
                f"a region to embed must hold bases, got none between bases {region.start:,} and "
                f"{region.start + 1:,} of {region.contig.name}. Widen it, or leave it out."
            )
    codes = [_region_codes(genome, region) for region in regions]
    return Sequences(
        np.frombuffer(b"".join(codes), dtype=np.uint8),
        np.cumsum([0, *map(len, codes)]),
        length,
        fingerprint=fingerprint_bytes(genome.fingerprint + repr(regions)),
        where=genome.called,
        names=[region.name for region in regions],
        note=_note(codes, length),
    )


def _region_codes(genome: GenomeStore, region: Region) -> bytes:
    codes = genome.fetch(region.contig.name, region.start, region.stop)
    codes &= np.uint8(PLAIN)
    return (reverse_complement(codes) if region.is_reverse else codes).tobytes()


def open_sequence_objects(
    sequences: Any, length: int, *, both_strands: bool
) -> SampleSource:
    """Sequences in memory, without labels.

    length: bases. Longer sequences are cropped equally at both ends.
    Raises: InputError for what is no list of sequences.
    """
    texts = list_objects(sequences, "sequences")
    rows = row_codes("objects", "the list", texts)
    codes = [row.translate(NO_SOFT_MASK) for row in rows]
    return Sequences(
        np.frombuffer(b"".join(codes), dtype=np.uint8),
        np.cumsum([0, *map(len, codes)]),
        length,
        fingerprint="in memory",
        where="objects",
        both_strands=both_strands,
        note=_note(codes, length),
    )


def _note(sequences: list[bytes], length: int, empty: int = 0) -> str:
    """Which parts of the sequences are not read. empty: records without bases."""
    num_cropped = sum(len(codes) > length for codes in sequences)
    cropped = f"both ends of {num_cropped:,} sequences longer than {length:,} bases"
    parts = {cropped: num_cropped, f"{empty:,} records without bases": empty}
    return ", ".join(text for text, count in parts.items() if count)


def _find(place: Path, patterns: tuple[str, ...]) -> Path:
    """The first file of sequences in a folder that matches one of the patterns."""
    for pattern in patterns:
        for path in sorted(place.glob(pattern)):
            if is_sequence_file(path):
                return path
    raise InputError(
        f"{place} must hold {' or '.join(patterns)}, got no table or FASTA of that name."
    )


def _read(
    section: Any,
    path: Path,
    label: LabelColumn | None,
    excluded: Set[bytes] = frozenset(),
    *,
    regression: bool = False,
) -> Sequences:
    """Sequences of a file, without those whose codes, cropped to length, are excluded."""
    file = read_sequence_file(section, path, label, regression=regression)
    most = section.length
    kept = [
        row
        for row, codes in enumerate(file.codes)
        if _middle(codes, most) not in excluded
    ]
    if not kept:
        raise InputError(
            f"{path} must hold sequences that the test split does not, got none."
        )
    chosen = [file.codes[row] for row in kept]
    starts = np.cumsum([0, *map(len, chosen)])
    codes = np.frombuffer(b"".join(chosen), dtype=np.uint8)
    content = codes.tobytes() + starts.tobytes()
    options = repr((path.name, label, most)).encode()
    return Sequences(
        codes,
        starts,
        most,
        fingerprint=fingerprint_bytes(content + options),
        where=str(path),
        labels=None if file.labels is None else file.labels[kept],
        targets=None if file.targets is None else file.targets[kept],
        class_names=file.class_names,
        left_out=len(file.codes) - len(kept),
        both_strands=section.both_strands,
        names=None if file.names is None else [file.names[row] for row in kept],
        note=_note(chosen, most, file.empty),
    )


def _middle(codes: bytes, most: int) -> bytes:
    start = max(0, len(codes) - most) // 2
    return codes[start : start + most]


def _reverse_complement(codes: bytes) -> bytes:
    """The other strand of a sequence."""
    return codes[::-1].translate(_COMPLEMENTS)
