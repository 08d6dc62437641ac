"""The tokenizer of a recipe's texts, and transformers' configuration of its model."""

from pathlib import Path
from typing import Any

import torch

from r2mae.datasets.card import load_card, locate
from r2mae.datasets.tokenizer import BYTES, borders, byte_tokenizer
from r2mae.errors import InputError
from r2mae.recipe.language_source import BORDER_IDS, kept_tokenizer, source_config
from r2mae.recipe.start import find_checkpoint, is_awaited, is_run
from r2mae.schema.language import LanguageData, TokenizerTraining
from r2mae.schema.recipe import AnyRecipe
from r2mae.training.checkpoint import read_manifest

# What a recipe calls what transformers' configurations take.
SHAPE = {
    "width": ("hidden_size",),
    "depth": ("num_hidden_layers",),
    "heads": ("num_attention_heads",),
    "hidden": ("intermediate_size",),
}
_DROPOUT = {
    "modernbert": ("embedding_dropout", "mlp_dropout", "attention_dropout"),
    "bert": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "roberta": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
}

_FIXED = (
    "is_decoder",
    "add_cross_attention",
    "classifier_activation",
)  # models here are encoders with heads of their own


def tokenizer_of(recipe: AnyRecipe) -> Any:
    """The tokenizer of a recipe's texts."""
    from r2mae.datasets.language_open import find_store, find_tokenizer

    data = texts_section(recipe)
    if torch.get_default_device().type == "meta" and _is_remote(data):
        return find_tokenizer(data.model_copy(update={"tokenizer": BYTES}))  # shapes alone are asked for
    if isinstance(data, LanguageData) and data.tokenizer is None:
        return find_store(data).tokenizer
    return find_tokenizer(data)


def _is_remote(data: Any) -> bool:
    """Whether texts, or a tokenizer by its id, would have to be fetched."""
    card = load_card(data.card)
    away = card.embedded is None and locate(card, data.root) is None
    return away or (isinstance(data.tokenizer, str) and not Path(data.tokenizer).exists())


def texts_section(recipe: AnyRecipe) -> Any:
    """The data section; a tokenizer that is a run's folder becomes the run's tokenizer."""
    data, source = recipe.data, recipe.data.tokenizer
    if is_awaited(recipe.model.init_from):  # found missing when its weights are asked for
        return data.model_copy(update={"tokenizer": BYTES})
    if source is None and is_run(recipe.model.init_from):
        source = recipe.model.init_from
    if source is None and recipe.model.init_from is not None and not is_run(recipe.model.init_from):
        return with_tokenizer(data, str(recipe.model.init_from))
    if isinstance(source, str) and is_run(source):
        return with_tokenizer(data, str(kept_tokenizer(read_manifest(find_checkpoint(source)))))
    return data


def with_tokenizer(data: Any, place: str) -> Any:
    """A data section with another tokenizer, unless its texts are a store, which has its own."""
    from r2mae.datasets.text_store import is_text_store

    root = getattr(data, "root", None)
    if root is not None and isinstance(data, LanguageData) and is_text_store(Path(root)):
        return data
    return data.model_copy(update={"tokenizer": place})


def language_config(recipe: AnyRecipe) -> Any:
    """transformers' configuration of a recipe's model.

    Raises: InputError for entries that transformers does not know, a vocabulary or length beyond the model's.
    """
    from transformers import AutoConfig

    section, tokenizer = recipe.model, tokenizer_of(recipe)
    source = source_config(section.init_from)
    first, last = _borders(tokenizer)
    length = recipe.data.length
    given: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": first,
        "eos_token_id": last,
        "cls_token_id": first,
        "sep_token_id": last,
    }
    offset = position_offset(section.encoder, tokenizer)
    base = AutoConfig.for_model(section.encoder).to_dict()
    base_length = base["max_position_embeddings"]
    if length + offset > base_length and source is None:
        given["max_position_embeddings"] = length + offset
    strange = next((key for key in section.config if key not in base and key not in BORDER_IDS), None)
    if strange is not None:
        raise InputError(f"model.config must hold entries of transformers' {section.encoder}, got {strange!r}.")
    fixed = next((key for key in _FIXED if section.config.get(key, base.get(key)) != base.get(key)), None)
    if fixed is not None:
        raise InputError(f"model.config.{fixed} must be left out, since it has no use here, got a value.")
    if isinstance(recipe.data.tokenizer, TokenizerTraining) and tokenizer is byte_tokenizer():
        given["vocab_size"] = recipe.data.tokenizer.vocab_size
    given |= section.config
    for ours, theirs in SHAPE.items():
        if getattr(section, ours) is not None:
            given |= dict.fromkeys(theirs, getattr(section, ours))
    if section.dropout is not None:
        given |= dict.fromkeys(_DROPOUT[section.encoder], section.dropout)
    if source is not None:
        given = _agree(section, source, given)
    try:
        config = AutoConfig.for_model(section.encoder, **given)
    except Exception as error:
        raise _unbuildable(error) from None
    step = config.num_attention_heads * (2 if section.encoder == "modernbert" else 1)  # rotary positions turn pairs
    if config.hidden_size % step:
        raise InputError(f"model.width must be divisible by {step}, got {config.hidden_size}. Heads share it.")
    if length + offset > config.max_position_embeddings:
        longest = config.max_position_embeddings - offset
        raise InputError(f"data.length must be {longest} at most, the model's positions, got {length}. Shorten it.")
    for key, number in config.to_dict().items():
        if key.endswith("_token_id") and isinstance(number, int) and not -1 <= number < config.vocab_size:
            raise InputError(f"model.config.{key} must be below the vocabulary's {config.vocab_size:,}, got {number}.")
    if len(tokenizer) > config.vocab_size:
        raise InputError(
            f"data.tokenizer must have {config.vocab_size:,} tokens at most, the model's embedding, "
            f"got {len(tokenizer):,}. Use the model's own tokenizer."
        )
    return config


def _agree(section: Any, source: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The source's configuration, with what the recipe may change: dropout and its own entries, not the shape."""
    if source["model_type"] != section.encoder:
        raise InputError(f"model.encoder must be {source['model_type']}, as init_from is, got {section.encoder}.")
    for ours, theirs in SHAPE.items():
        wanted, has = getattr(section, ours), source.get(theirs[0], given.get(theirs[0]))
        if wanted is not None and has is not None and wanted != has:
            raise InputError(f"model.{ours} must be {has}, as init_from has, got {wanted}. Leave it out.")
    shape = {name for names in SHAPE.values() for name in names} | {"vocab_size", "max_position_embeddings"}
    strange = next((key for key, value in section.config.items() if key in shape and source.get(key) != value), None)
    if strange is not None:
        raise InputError(f"model.config.{strange} must be left out with init_from, whose shape is taken, got a value.")
    own = {key: value for key, value in given.items() if key not in shape}
    return {key: value for key, value in source.items() if key not in ("model_type", "transformers_version")} | own


def position_offset(encoder: str, tokenizer: Any) -> int:
    """Positions that an architecture does not count from."""
    return int(tokenizer.pad_token_id) + 1 if encoder == "roberta" else 0


def _borders(tokenizer: Any) -> tuple[int, int]:
    found = borders(tokenizer)
    assert found is not None  # checked when it was loaded
    return found


def model_of(config: Any) -> Any:
    """A model of a configuration. Raises: InputError where transformers cannot build it."""
    from transformers import AutoModelForMaskedLM

    try:
        return AutoModelForMaskedLM.from_config(config)
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError, RuntimeError) as error:
        raise _unbuildable(error) from None


def _unbuildable(error: Exception) -> InputError:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return InputError(f"model must be what transformers can build, got: {first[:200]}")


def vocabulary_of(recipe: AnyRecipe, config: Any) -> Any:
    """What the recipe's model has to know of its tokenizer."""
    from r2mae.models.language import Vocabulary

    tokenizer = tokenizer_of(recipe)
    special = {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}
    # Beyond the tokenizer's words an embedding may have room that no text uses.
    special |= set(range(len(tokenizer), config.vocab_size))
    return Vocabulary(config.vocab_size, tokenizer.mask_token_id, tokenizer.pad_token_id, tuple(sorted(special)))
