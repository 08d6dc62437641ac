"""Data that a user names for a run: files, regions of a genome, sequences in memory."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from r2mae.data.source import SampleSource
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.build import open_genome
from r2mae.modalities.dna.genome.files import expand_dna
from r2mae.modalities.dna.genome.intervals import read_regions
from r2mae.modalities.dna.genome.store import GenomeStore
from r2mae.modalities.dna.recipe_data import with_tokens
from r2mae.modalities.dna.schema import DnaSequenceData
from r2mae.modalities.dna.sequences.files import (
    is_sequence_file,
    read_sequence_file,
)
from r2mae.modalities.dna.sequences.labelled import (
    open_given_sequences,
    open_regions,
    open_sequence_objects,
)
from r2mae.modalities.dna.splits import open_given_windows
from r2mae.options import parse_pairs
from r2mae.schema.recipe import AnyRecipe


def open_paths(
    recipe: AnyRecipe, paths: list[str], arguments: Namespace
) -> SampleSource:
    """Regions, windows or sequences of files that a user names.

    Pretraining runs read windows, but sequences with --records, and where no sequence is
    as long as a window. Fine-tuned runs read sequences.
    """
    data = recipe.data
    if arguments.regions:
        return with_tokens(recipe, _open_regions(recipe, paths, arguments))
    if recipe.task != "pretrain":
        return with_tokens(recipe, _open_sequences(data, paths, arguments.column))
    is_genome = data.alignment is None
    if arguments.records and not is_genome:
        raise InputError(
            "--records must be left out for a run on an alignment, which reads other "
            "species too, got --records."
        )
    plain = DnaSequenceData(length=data.length)
    if arguments.records or (is_genome and _are_short(paths, plain, arguments.column)):
        return with_tokens(recipe, _open_sequences(plain, paths, arguments.column))
    if arguments.column is not None:
        raise InputError(
            "--column must be left out for windows of a genome, "
            f"got {arguments.column!r}. With --records, rows of a table are embedded."
        )
    return with_tokens(recipe, open_given_windows(data, paths))


def _open_sequences(
    data: DnaSequenceData, paths: list[str], column: str | None
) -> SampleSource:
    if column is not None:
        data = data.model_copy(update={"column": column})
    return open_given_sequences(data, paths)


def _are_short(paths: list[str], data: DnaSequenceData, column: str | None) -> bool:
    """Whether paths are one file of sequences that are all shorter than a window.

    column: of a table's sequences, where it is not the usual one.
    """
    if len(paths) != 1 or Path(paths[0]).is_dir():
        return False
    files = expand_dna(paths)
    if len(files) != 1 or not is_sequence_file(files[0]):
        return False
    if column is not None:
        named = data.model_copy(update={"column": column})
        codes = read_sequence_file(named, files[0], None).codes
        return max(map(len, codes)) < data.length
    return max(contig.length for contig in open_genome(files).contigs) < data.length


def _open_regions(
    recipe: AnyRecipe, paths: list[str], arguments: Namespace
) -> SampleSource:
    """A sequence for each of the regions that arguments name."""
    if getattr(recipe.data, "alignment", None) is not None:
        raise InputError(
            "--regions must be left out for a run on an alignment, which reads other "
            f"species too, got {arguments.regions[0]!r}."
        )
    genome = _open_genome(paths)
    aliases = parse_pairs("alias", arguments.alias)
    regions = read_regions(arguments.regions, genome, aliases)
    return open_regions(genome, regions, recipe.data.length)


def _open_genome(paths: list[str]) -> GenomeStore:
    is_store = len(paths) == 1 and Path(paths[0]).is_dir()
    return open_genome([Path(paths[0])] if is_store else expand_dna(paths))


def open_objects(recipe: AnyRecipe, sequences: Any) -> SampleSource:
    """Sequences in memory, on both strands for a fine-tuned run with data.both_strands.

    Raises: InputError for a run on an alignment, which needs the other species.
    """
    data = recipe.data
    if getattr(data, "alignment", None) is not None:
        raise InputError(
            "RUN must be on a genome to embed sequences in memory, got one on an alignment, "
            "which reads other species too. Run: r2mae embed RUN FILE."
        )
    both_strands = recipe.task != "pretrain" and data.both_strands
    source = open_sequence_objects(sequences, data.length, both_strands=both_strands)
    return with_tokens(recipe, source)
