"""A DNA recipe's models and data: windows and sequences, convolutions of our own, transformers as for texts."""

import copy
from typing import Any

from torch import nn

from r2mae.data.source import Part, SampleSource
from r2mae.data.tokenizer import tokenizer_files
from r2mae.errors import InputError
from r2mae.interop.transformer_config import (
    build_transformer,
    config_facts,
    section_of_facts,
    transformer_config,
)
from r2mae.interop.transformer_source import (
    checkpoint_tokenizer,
    load_transformer_weights,
)
from r2mae.modalities.dna.schema import DnaEncoder
from r2mae.modalities.dna.tokens import Codec, DnaTokens, find_codec
from r2mae.schema.recipe import AnyRecipe
from r2mae.training.checkpoint import read_manifest
from r2mae.training.start import filled_whole, find_checkpoint, is_awaited, is_run

_CONV_WIDTH, _CONV_DEPTH = 128, 12


def open_split(recipe: AnyRecipe, split: str) -> SampleSource:
    """Windows of a pretraining recipe; labelled sequences of a fine-tuning recipe."""
    from r2mae.modalities.dna.sequences.labelled import open_sequences
    from r2mae.modalities.dna.splits import open_windows

    if recipe.task == "pretrain":
        return _seen(recipe, open_windows(recipe.data, split))
    regression = recipe.tune.regression  # type: ignore[attr-defined]
    return _seen(recipe, open_sequences(recipe.data, split, regression=regression))


def open_paths(
    recipe: AnyRecipe, paths: list[str], column: str | None = None
) -> SampleSource:
    """Windows of a file that a user names, or its sequences, as the recipe's task has them."""
    from r2mae.modalities.dna.sequences.labelled import open_given_sequences
    from r2mae.modalities.dna.splits import open_given_windows

    if recipe.task == "pretrain":
        if column is not None:
            raise InputError(
                "--column must be left out for a pretraining run, which reads genomes, got a value."
            )
        return _seen(recipe, open_given_windows(recipe.data, paths))
    data = (
        recipe.data
        if column is None
        else recipe.data.model_copy(update={"column": column})
    )
    return _seen(recipe, open_given_sequences(data, paths))


def open_objects(recipe: AnyRecipe, sequences: Any) -> SampleSource:
    """Sequences in memory; a fine-tuned run reads both strands where its recipe says so.

    Raises: InputError for a run on an alignment, which needs the columns of other species.
    """
    from r2mae.modalities.dna.sequences.labelled import open_sequence_objects

    data = recipe.data
    if getattr(data, "alignment", None) is not None:
        raise InputError(
            "objects must not be given to a run on an alignment, which reads other species too. "
            "Run: r2mae embed RUN FILE."
        )
    both_strands = recipe.task != "pretrain" and data.both_strands
    return _seen(
        recipe,
        open_sequence_objects(sequences, data.length, both_strands=both_strands),
    )


def codec_of(recipe: AnyRecipe) -> Codec | None:
    """How a recipe's model reads bases as tokens; None for convolutions."""
    section: DnaEncoder = recipe.model
    source = section.init_from
    if section.encoder == "conv":
        return None
    if section.tokenizer is not None or source is None or is_awaited(source):
        return find_codec(section.tokenizer, section.kmer)
    if not is_run(source):
        return find_codec(str(source), section.kmer)
    manifest = read_manifest(find_checkpoint(source))
    if "kmer" not in manifest:
        raise InputError(
            f"model.init_from must be a transformer's run for model.encoder {section.encoder}, got {source!r}, "
            f"whose model is {_shape(manifest)}."
        )
    if manifest["kmer"] != section.kmer:
        raise InputError(
            f"model.kmer must be {manifest['kmer']}, as {source!r} has, got {section.kmer}."
        )
    return find_codec(str(checkpoint_tokenizer(manifest)), section.kmer)


def find_reference(recipe: AnyRecipe, given: str | None) -> Any:
    """The genome's store that variants are of, or the alignment's for a run on one: given, or the run's own.

    Raises: InputError for an alignment of other species than the run's.
    """
    from r2mae.modalities.dna.splits import find_alignment, find_genome

    data = recipe.data
    if given is not None:
        data = data.model_copy(
            update={"root": given, "card": "genome_files", "name_by_file": False}
        )
        if data.alignment is not None:
            data = data.model_copy(
                update={"alignment": data.alignment.model_copy(update={"genome": None})}
            )
    try:
        return find_genome(data) if data.alignment is None else find_alignment(data)
    except InputError as error:
        raise InputError(
            str(error)
            if given is None
            else str(error).replace("data.root", "--reference")
        ) from None


def _seen(recipe: AnyRecipe, source: SampleSource) -> SampleSource:
    """With tokens, for transformers; a part stays a part, of the whole with tokens."""
    codec = codec_of(recipe)
    if codec is None:
        return source
    if isinstance(source, Part):
        part = copy.copy(source)
        part.source = _seen(recipe, source.source)
        return part
    return DnaTokens(source, codec)


def _num_others(recipe: AnyRecipe) -> int:
    """Species beside the reference."""
    given = getattr(recipe.data, "alignment", None)
    if given is None:
        return 0
    return (
        int(given.species) - 1
        if given.species is not None
        else len(_species(recipe)) - 1
    )


def _species(recipe: AnyRecipe) -> list[str]:
    """Those of a recipe's alignment, the reference first; none without one."""
    from r2mae.modalities.dna.splits import find_alignment

    if getattr(recipe.data, "alignment", None) is None:
        return []
    found = find_alignment(recipe.data)
    assert found is not None
    return found.species


def _conv_shape(recipe: AnyRecipe) -> dict[str, Any]:
    section: DnaEncoder = recipe.model
    return {
        "width": section.width or _CONV_WIDTH,
        "depth": section.depth or _CONV_DEPTH,
        "kernel": section.kernel,
        "dilations": section.dilations,
        "dropout": section.dropout or 0.0,
    }


def build_masked(recipe: AnyRecipe) -> nn.Module:
    """The masked model of a pretraining recipe."""
    from r2mae.modalities.dna.conservation import Conservation
    from r2mae.modalities.dna.models.conv import MaskedDnaConv
    from r2mae.modalities.dna.models.transformer import MaskedDnaTransformer

    section = recipe.model
    asked = None if section.loss.is_plain else Conservation(**section.loss.model_dump())
    shared = {
        "replacement": recipe.mask.replacement,  # type: ignore[attr-defined]
        "conservation": asked,
        "num_others": _num_others(recipe),
    }
    codec = codec_of(recipe)
    if codec is None:
        model: nn.Module = MaskedDnaConv(
            length=recipe.data.length, **shared, **_conv_shape(recipe)
        )
        return model if section.init_from is None else _start_from(model, recipe)
    config = _config(recipe, codec)
    whole = build_transformer(config)
    bases = tuple(codec.kmers.tolist()) if codec.kmer == 1 else None
    length = recipe.data.length // codec.kmer + 2
    model = MaskedDnaTransformer(
        whole,
        _vocabulary(codec, config),
        length=length,
        bases=bases,
        pooling=section.pooling,
        **shared,
    )
    return (
        model
        if section.init_from is None
        else load_transformer_weights(model, section.init_from)
    )


def build_encoder(recipe: AnyRecipe) -> nn.Module:
    """The encoder of a fine-tuning recipe."""
    from r2mae.modalities.dna.models.conv import DnaConv
    from r2mae.modalities.dna.models.transformer import DnaTransformer

    section, codec = recipe.model, codec_of(recipe)
    if codec is None:
        model: nn.Module = DnaConv(**_conv_shape(recipe))
        return model if section.init_from is None else _start_from(model, recipe)
    config = _config(recipe, codec)
    base = build_transformer(config).base_model
    model = DnaTransformer(base, _vocabulary(codec, config), pooling=section.pooling)
    return (
        model
        if section.init_from is None
        else load_transformer_weights(model, section.init_from)
    )


def checkpoint_facts(recipe: AnyRecipe) -> dict[str, Any]:
    """What a checkpoint says beside its tensors: tokenizer and configuration, and an alignment's species."""
    facts: dict[str, Any] = {"species": _species(recipe)}
    codec = codec_of(recipe)
    if codec is not None:
        config = config_facts(_config(recipe, codec))
        facts |= {
            "kmer": codec.kmer,
            "tokenizer": tokenizer_files(codec.tokenizer),
            "transformers": config,
        }
    return facts


def with_checkpoint_facts(recipe: AnyRecipe, manifest: dict[str, Any]) -> AnyRecipe:
    """The recipe with the tokenizer, configuration and species of a checkpoint."""
    data, model = recipe.data, recipe.model
    if getattr(data, "alignment", None) is not None:
        names = tuple(manifest["species"])
        known = data.alignment.model_copy(
            update={"species": len(names), "names": names}
        )
        data = data.model_copy(update={"alignment": known})
    if "transformers" in manifest:
        tokens = {
            "kmer": manifest["kmer"],
            "tokenizer": str(checkpoint_tokenizer(manifest)),
        }
        model = model.model_copy(
            update=section_of_facts(manifest["transformers"]) | tokens
        )
    return recipe.model_copy(update={"data": data, "model": model})


def _config(recipe: AnyRecipe, codec: Codec) -> Any:
    """transformers' configuration, for rows of as many tokens as a window has, and two borders."""
    length = recipe.data.length // codec.kmer + 2
    return transformer_config(recipe.model, codec.tokenizer, length)


def _vocabulary(codec: Codec, config: Any) -> Any:
    """All but known bases is special: never hidden, never put in a hidden place."""
    from r2mae.models.language_encoder import Vocabulary

    special = tuple(sorted({*range(config.vocab_size)} - {*codec.kmers.tolist()}))
    return Vocabulary(
        config.vocab_size, codec.tokenizer.mask_token_id, codec.pad, special
    )


def _start_from(model: nn.Module, recipe: AnyRecipe) -> nn.Module:
    """Fill convolutions from a run: the encoder, and the head where both have one.

    Raises: InputError for a run of another shape, dilations that no weight shows among it, and for what is no run.
    """
    section: DnaEncoder = recipe.model
    source = str(section.init_from)
    if is_awaited(source):
        raise InputError(
            f"model.init_from must exist, got {source!r}. Train it first, or check the path."
        )
    if not is_run(source):
        raise InputError(
            f"model.init_from must be a run for encoder conv, got {source!r}. Name another encoder."
        )
    manifest = read_manifest(find_checkpoint(source))
    known = manifest["recipe"]["model"].get("dilations")
    if known is not None and list(known) != list(section.dilations):
        raise InputError(
            f"model.dilations must be {known}, as {source!r} has, got {list(section.dilations)}."
        )
    names = manifest.get("species")
    if isinstance(names, list) and bool(names) != bool(_num_others(recipe)):
        kinds = ("a genome", "an alignment")
        raise InputError(
            f"model.init_from must be a run on {kinds[not names]}, as the recipe's data, got one on "
            f"{kinds[bool(names)]} in {source!r}."
        )
    own, shape = manifest["recipe"]["model"], _conv_shape(recipe)
    if any(
        own.get(name) not in (None, shape[name])
        for name in ("width", "depth", "kernel")
    ):
        raise InputError(
            f"model must have the shape of {source!r}, {_shape(manifest)}."
        )
    return filled_whole(model, source)


def _shape(manifest: dict[str, Any]) -> str:
    """The keys of a run's model that another recipe has to say again."""
    own = manifest["recipe"]["model"]
    names = ("encoder", "width", "depth", "kernel", "dilations", "kmer")
    return ", ".join(
        f"{name}: {own[name]}" for name in names if own.get(name) is not None
    )


def describe_alignment(recipe: AnyRecipe) -> dict[str, str]:
    """How many species an alignment has, and how much of the reference its blocks reach; empty without one."""
    from r2mae.modalities.dna.splits import find_alignment

    if getattr(recipe.data, "alignment", None) is None:
        return {}
    found = find_alignment(recipe.data)
    assert found is not None
    reached = f"blocks reach {found.share:.1%} of {found.meta['positions']:,} bases of {found.species[0]}"
    doubt = f"; {found.doubt}" if found.doubt else ""
    return {"alignment": f"{len(found.species):,} species; {reached}{doubt}"}
