"""Data of a DNA recipe: windows, sequences, tokens, and the reference of variants."""

import copy
from typing import Any

from r2mae.data.source import Part, SampleSource
from r2mae.errors import InputError
from r2mae.interop.token_rule import source_tokenizer
from r2mae.interop.transformer_source import checkpoint_tokenizer, source_config
from r2mae.modalities.dna.schema import DnaEncoder
from r2mae.modalities.dna.tokens import (
    Codec,
    DnaTokens,
    check_tokens,
    find_codec,
)
from r2mae.schema.recipe import AnyRecipe
from r2mae.schema.section import shown
from r2mae.training.checkpoint import read_manifest
from r2mae.training.start import find_checkpoint, is_awaited, is_run


def open_split(recipe: AnyRecipe, split: str) -> SampleSource:
    """Windows of a pretraining recipe; labelled sequences of a fine-tuning recipe."""
    from r2mae.modalities.dna.sequences.labelled import open_sequences
    from r2mae.modalities.dna.splits import open_windows

    if recipe.task == "pretrain":
        return with_tokens(recipe, open_windows(recipe.data, split))
    is_regression = recipe.tune.target.name == "regression"  # type: ignore[attr-defined]
    source = open_sequences(recipe.data, split, regression=is_regression)
    return with_tokens(recipe, source)


def codec_of(recipe: AnyRecipe) -> Codec | None:
    """The codec of a recipe's transformer; None for convolutions.

    Raises: InputError where model.init_from is a run without k-mers, or with others, or
        its tokenizer makes other tokens than model.tokenizer.
    """
    section: DnaEncoder = recipe.model
    source = section.init_from
    if section.encoder == "conv":
        return None
    if source is None or is_awaited(source):
        return find_codec(section.tokenizer, section.kmer)
    own = _source_codec(section, source)
    if section.tokenizer is None:
        return own
    codec = find_codec(section.tokenizer, section.kmer)
    check_tokens(codec, own.tokenizer)
    return codec


def _source_codec(section: DnaEncoder, source: str) -> Codec:
    """The codec of the tokenizer of a model.init_from."""
    if not is_run(source):
        source_config(source)  # says first what no tokenizer would mend
        source_tokenizer(source, needs_last=False)
        return find_codec(source, section.kmer)
    manifest = read_manifest(find_checkpoint(source))
    if "kmer" not in manifest:
        raise InputError(
            "model.init_from must be the run of a transformer for "
            f"model.encoder {section.encoder}, got {source!r}, "
            f"whose model is {model_keys(manifest)}."
        )
    if manifest["kmer"] != section.kmer:
        raise InputError(
            f"model.kmer must be {manifest['kmer']}, as in {source!r}, "
            f"got {section.kmer}."
        )
    return find_codec(str(checkpoint_tokenizer(manifest)), section.kmer)


def find_reference(recipe: AnyRecipe, path: str | None) -> Any:
    """The store of path, or of the run's own data: of a genome, or for a run on one, an alignment.

    Raises: InputError for an alignment of other species than the run's.
    """
    from r2mae.modalities.dna.splits import find_alignment, find_genome

    data = recipe.data
    if path is not None:
        root = {"root": path, "card": "genome_files", "name_by_file": False}
        data = data.model_copy(update=root)
        if data.alignment is not None:
            alignment = data.alignment.model_copy(update={"genome": None})
            data = data.model_copy(update={"alignment": alignment})
    try:
        return find_genome(data) if data.alignment is None else find_alignment(data)
    except InputError as error:
        if path is None:
            raise
        text = str(error).replace("data.root", "--reference")
        raise InputError(text) from None


def with_tokens(recipe: AnyRecipe, source: SampleSource) -> SampleSource:
    """The source with tokens for transformers; for a Part, its source gets the tokens."""
    codec = codec_of(recipe)
    if codec is None:
        return source
    if isinstance(source, Part):
        part = copy.copy(source)
        part.source = with_tokens(recipe, source.source)
        return part
    return DnaTokens(source, codec)


def model_keys(manifest: dict[str, Any]) -> str:
    """Keys of a run's model section that a recipe starting from it must repeat, as text."""
    section = manifest["recipe"]["model"]
    names = (
        "encoder",
        "width",
        "depth",
        "kernel",
        "dilations",
        "rc_equivariant",
        "kmer",
    )
    return ", ".join(
        f"{name}: {shown(section[name])}".replace('"', "")
        for name in names
        if section.get(name) is not None
    )


def species_of(recipe: AnyRecipe) -> list[str]:
    """Species of a recipe's alignment, the reference first; empty without one."""
    alignment = _open_alignment(recipe)
    return [] if alignment is None else alignment.species


def _open_alignment(recipe: AnyRecipe) -> Any:
    """The store of a recipe's alignment; None without one."""
    from r2mae.modalities.dna.splits import find_alignment

    if getattr(recipe.data, "alignment", None) is None:
        return None
    return find_alignment(recipe.data)


def describe_data(recipe: AnyRecipe) -> dict[str, str]:
    """{"bases": those in training windows, "alignment": its species}, of pretraining recipes."""
    from r2mae.data.source import root_of
    from r2mae.modalities.dna.splits import open_windows

    if recipe.task != "pretrain":
        return {}
    windows: Any = root_of(open_windows(recipe.data, "train"))
    texts = {"bases": windows.description}
    alignment = windows.alignment
    if alignment is not None:
        text = (
            f"{len(alignment.species):,} species; blocks cover {alignment.share:.1%} of "
            f"{alignment.meta['positions']:,} bases of {alignment.species[0]}"
        )
        notes = filter(None, (alignment.odd_rows, alignment.doubt))
        texts["alignment"] = "; ".join([text, *notes])
    return texts
