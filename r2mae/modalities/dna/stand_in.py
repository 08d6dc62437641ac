"""Random genomes, alignments and labelled sequences, for recipes whose data is missing."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from r2mae.data.stand_in import (
    HELD_OUT,
    TEST_SAMPLES,
    data_settings,
    make_labels,
    num_samples,
)
from r2mae.modalities.dna.schema import AlignmentSection, DnaData
from r2mae.schema.recipe import AnyRecipe

_CONTIG = "contig"
_REPEAT = 50  # bases of each soft-masked stretch, and of each between them
_SOFT_MASK = 0x20  # makes an ASCII letter lower-case


def stand_in(recipe: AnyRecipe, folder: Path) -> list[str]:
    """Write a genome, an alignment or labelled sequences; gives the recipe's settings."""
    draw = np.random.default_rng(0)
    if recipe.task == "finetune":
        return _write_sequences(recipe, folder, draw)
    data: DnaData = recipe.data
    num_bases = num_samples(recipe) * data.length
    settings: dict[str, Any] = {}
    if data.alignment is None:
        (bases,) = _draw_bases(draw, 1, num_bases)
        root = folder / "genome.fa"
        root.write_text(f">{_CONTIG}\n{bases}\n")
    else:
        root = folder / "alignment.maf"
        names = _species(data.alignment)
        _write_maf(root, names, _draw_bases(draw, len(names), num_bases))
        settings = {"alignment.genome": None, "alignment.reference": names[0]}
    tracks = {
        name: str(_write_track(folder / f"{name}.wig", draw, num_bases))
        for name in ("phylop", "phastcons")
        if getattr(data.tracks, name) is not None
    }
    # Windows do not overlap, so that none are dropped next to those held out.
    settings |= {"card": "genome_files", "root": str(root), "name_by_file": False}
    settings |= {"stride": None, "include": [], "exclude": [], "test": []}
    return data_settings(settings | {"tracks": tracks, "held_out": HELD_OUT})


def _draw_bases(draw: Any, rows: int, num_bases: int) -> list[str]:
    """Rows of random letters, the same stretches of each lower-case."""
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    codes = letters[draw.integers(0, 4, (rows, num_bases), dtype=np.uint8)]
    is_repeat = np.arange(num_bases) // _REPEAT % 2 == 1
    codes[:, is_repeat] |= _SOFT_MASK
    return [row.tobytes().decode() for row in codes]


def _species(section: AlignmentSection) -> list[str]:
    """Names of the recipe's species, the reference first."""
    if section.names is not None:
        return list(section.names)
    others = range(1, section.species or 2)
    return [section.reference or "species_0", *(f"species_{n}" for n in others)]


def _write_maf(path: Path, names: list[str], rows: list[str]) -> None:
    """One block without gaps."""
    size = len(rows[0])
    lines = ["##maf version=1", "a score=1"]
    for name, letters in zip(names, rows, strict=True):
        lines.append(f"s {name}.{_CONTIG} 0 {size} + {size} {letters}")
    path.write_text("\n".join(lines) + "\n")


def _write_track(path: Path, draw: Any, num_bases: int) -> Path:
    """A wiggle file with a number from 0 to 1 for each base."""
    values = [f"{value:.2f}" for value in draw.random(num_bases)]
    header = f"fixedStep chrom={_CONTIG} start=1 step=1"
    path.write_text("\n".join([header, *values]) + "\n")
    return path


def _write_sequences(recipe: AnyRecipe, folder: Path, draw: Any) -> list[str]:
    """Tables of labelled sequences, some a base shorter than the recipe's length."""
    data = recipe.data
    for split, count in (("train", num_samples(recipe)), ("test", TEST_SAMPLES)):
        bases = _draw_bases(draw, count, data.length)
        labels = make_labels(recipe, count)
        with (folder / f"{split}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow((data.column, "label"))
            for number, row in enumerate(zip(bases, labels, strict=True)):
                table.writerow((row[0][number % 2 :], row[1]))
    root = {"card": "sequence_files", "root": str(folder)}
    return data_settings(root | {"label_column": "label", "held_out": HELD_OUT})
