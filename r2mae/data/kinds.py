"""What lies at a path, in words for a message: a store of some kind, a run, a file of sequences, something else."""

import gzip
import json
import zlib
from pathlib import Path

GENOME, ALIGNMENT = "a genome's store", "an alignment's store"
CELLS, TEXT, TOKENIZER = "a store of cells", "a store of text", "a tokenizer"
FASTA, MAF = "a FASTA file", "a MAF file"
RUN, FOLDER, NOTHING = "a run", "a folder that is no store", "nothing"
_OF_FORMATS = {"r2mae genome": GENOME, "r2mae alignment": ALIGNMENT, "r2mae text": TEXT}
_REMEDIES = {
    FASTA: "Build one of it: r2mae data build dna, or msa where it is aligned.",
    MAF: "Build one of it: r2mae data build msa.",
    RUN: "What it was trained on stands in its recipe.yaml, as data.root.",
    NOTHING: "Check the path.",
}


def kind_of_path(place: Path) -> str:
    """What is at a path; of files and folders that are none of ours no more than that."""
    if place.is_dir():
        return _kind_of_folder(place)
    return _kind_of_file(place) if place.is_file() else NOTHING


def remedy_for(kind: str) -> str:
    """What to do where a store of any kind is wanted and something of this kind is there."""
    return _REMEDIES.get(
        kind, "Stores are built of files: r2mae data build --help lists the kinds."
    )


def _kind_of_folder(place: Path) -> str:
    if (place / "store.json").is_file():
        return CELLS
    if (place / "run.json").is_file() or (place / "checkpoints").is_dir():
        return RUN
    if (place / "tokenizer.json").is_file() and not (place / "meta.json").is_file():
        return TOKENIZER
    try:
        meta = json.loads((place / "meta.json").read_text())
        return _OF_FORMATS[str(meta["format"]).partition(" store ")[0]]
    except FileNotFoundError:
        return FOLDER
    except (OSError, ValueError, KeyError, TypeError):
        return "a folder with a meta.json that says no kind of store"


def _kind_of_file(place: Path) -> str:
    try:
        with place.open("rb") as file:
            start = file.read(1 << 12)
        if start[:2] == b"\x1f\x8b":
            with gzip.open(place) as packed:
                start = packed.read(1 << 12)
    except (OSError, EOFError, zlib.error):
        return "a file"
    start = start.lstrip()
    if start[:1] == b">":
        return FASTA
    return MAF if start.startswith((b"##maf", b"a score=")) else "a file"
