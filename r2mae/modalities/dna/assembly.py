"""Models of a DNA recipe: convolutions, and transformers over bases or k-mers."""

from typing import Any

from torch import nn

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
from r2mae.modalities.dna.recipe_data import codec_of, model_keys, species_of
from r2mae.modalities.dna.schema import DnaEncoder
from r2mae.modalities.dna.tokens import Codec
from r2mae.schema.recipe import AnyRecipe
from r2mae.schema.section import shown
from r2mae.training.checkpoint import read_manifest
from r2mae.training.start import find_checkpoint, init_from_run, is_awaited, is_run

_CONV_WIDTH, _CONV_DEPTH = 128, 12


def _num_others(recipe: AnyRecipe) -> int:
    """Number of species beside the reference."""
    alignment = getattr(recipe.data, "alignment", None)
    if alignment is None:
        return 0
    if alignment.species is not None:
        return int(alignment.species) - 1
    return len(species_of(recipe)) - 1


def conv_shape(recipe: AnyRecipe) -> dict[str, Any]:
    """Arguments of the convolutional models."""
    section: DnaEncoder = recipe.model
    return {
        "width": section.width or _CONV_WIDTH,
        "depth": section.depth or _CONV_DEPTH,
        "kernel": section.kernel,
        "dilations": section.dilations,
        "dropout": section.dropout or 0.0,
        "rc_equivariant": section.rc_equivariant,
    }


def build_masked(recipe: AnyRecipe) -> nn.Module:
    """The masked model of a pretraining recipe."""
    from r2mae.modalities.dna.conservation import Conservation
    from r2mae.modalities.dna.models.conv import MaskedDnaConv
    from r2mae.modalities.dna.models.transformer import MaskedDnaTransformer

    section, codec = recipe.model, codec_of(recipe)
    conservation = None
    if not section.loss.is_plain:
        conservation = Conservation(**section.loss.model_dump())
    shared = {
        "replacement": recipe.mask.replacement,  # type: ignore[attr-defined]
        "conservation": conservation,
        "num_others": _num_others(recipe),
    }
    if codec is None:
        model: nn.Module = MaskedDnaConv(
            length=recipe.data.length, **shared, **conv_shape(recipe)
        )
        return model if section.init_from is None else _start_from(model, recipe)
    config = _config(recipe, codec)
    model = MaskedDnaTransformer(
        build_transformer(config),
        _vocabulary(codec, config),
        length=recipe.data.length // codec.kmer + 2,
        kmer=codec.kmer,
        bases=tuple(codec.kmers.tolist()) if codec.kmer == 1 else (),
        pooling=section.pooling,
        **shared,
    )
    return _with_weights(model, section.init_from)


def build_encoder(recipe: AnyRecipe) -> nn.Module:
    """The encoder of a fine-tuning recipe."""
    from r2mae.modalities.dna.models.conv import DnaConv
    from r2mae.modalities.dna.models.transformer import DnaTransformer

    section, codec = recipe.model, codec_of(recipe)
    if codec is None:
        model: nn.Module = DnaConv(**conv_shape(recipe))
        return model if section.init_from is None else _start_from(model, recipe)
    config = _config(recipe, codec)
    base = build_transformer(config).base_model
    model = DnaTransformer(base, _vocabulary(codec, config), pooling=section.pooling)
    return _with_weights(model, section.init_from)


def _with_weights(model: nn.Module, source: Any) -> nn.Module:
    """A transformer with the weights of a run or pretrained model, if one is named."""
    return model if source is None else load_transformer_weights(model, source)


def checkpoint_facts(recipe: AnyRecipe) -> dict[str, Any]:
    """Checkpoint metadata: a transformer's tokenizer and config, an alignment's species."""
    facts: dict[str, Any] = {"species": species_of(recipe)}
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
        alignment = data.alignment.model_copy(
            update={"species": len(names), "names": names}
        )
        data = data.model_copy(update={"alignment": alignment})
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
    """The transformer's configuration, for the tokens of a window and two border tokens."""
    length = recipe.data.length // codec.kmer + codec.num_special
    return transformer_config(recipe.model, codec.tokenizer, length)


def _vocabulary(codec: Codec, config: Any) -> Any:
    """All tokens but A, C, G, T or their k-mers are special: never masked, never a replacement."""
    from r2mae.models.language_encoder import Vocabulary

    special = tuple(sorted({*range(config.vocab_size)} - {*codec.kmers.tolist()}))
    return Vocabulary(
        config.vocab_size, codec.tokenizer.mask_token_id, codec.pad, special
    )


def _start_from(model: nn.Module, recipe: AnyRecipe) -> nn.Module:
    """Load a run's weights into convolutions: the encoder, and the head where both have one.

    Raises: InputError for no run, and one of another shape, dilations or kind of data.
    """
    section: DnaEncoder = recipe.model
    source = str(section.init_from)
    if is_awaited(source):
        raise InputError(
            f"model.init_from must exist, got {source!r}. "
            "Train it first, or check the path."
        )
    if not is_run(source):
        raise InputError(
            f"model.init_from must be a run for encoder conv, got {source!r}. "
            "Name another encoder."
        )
    _check_conv_run(read_manifest(find_checkpoint(source)), source, recipe)
    return init_from_run(model, source)


def _check_conv_run(manifest: dict[str, Any], source: str, recipe: AnyRecipe) -> None:
    """Raise InputError for a run whose convolutions differ from the recipe's."""
    # Runs from before there were shared weights do not name them.
    theirs: dict[str, Any] = {"rc_equivariant": False} | manifest["recipe"]["model"]
    section = recipe.model
    # No weight shows dilations, so that loading would not fail.
    dilations = theirs.get("dilations")
    if dilations is not None and list(dilations) != list(section.dilations):
        raise InputError(
            f"model.dilations must be {dilations}, as in {source!r}, "
            f"got {list(section.dilations)}."
        )
    species = manifest.get("species")
    is_aligned = bool(_num_others(recipe))
    if isinstance(species, list) and bool(species) != is_aligned:
        expected, actual = "an alignment", "a genome"
        if not is_aligned:
            expected, actual = actual, expected
        raise InputError(
            f"model.init_from must be a run on {expected}, as the recipe's data, "
            f"got one on {actual} in {source!r}."
        )
    shape = conv_shape(recipe)
    for name in ("width", "depth", "kernel", "rc_equivariant"):
        if theirs.get(name) not in (None, shape[name]):
            raise InputError(
                f"model must have the shape of {source!r}, {model_keys(manifest)}, "
                f"got {name}: {shown(shape[name])}. Repeat those keys."
            )
