"""What texts bring: models of transformers over a tokenizer, which a checkpoint carries along."""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from r2mae.datasets.card import load_card, locate
from r2mae.datasets.source import SampleSource
from r2mae.datasets.tokenizer import BYTES, borders, byte_tokenizer
from r2mae.errors import InputError
from r2mae.recipe.language_source import (
    BORDER_IDS,
    check_same_words,
    filled,
    kept_tokenizer,
    source_config,
)
from r2mae.recipe.start import find_checkpoint, is_awaited, is_run
from r2mae.schema.language import LanguageData, TokenizerTraining
from r2mae.schema.recipe import AnyRecipe
from r2mae.training.checkpoint import read_manifest

# What a recipe calls what transformers' configurations take.
_SHAPE = {
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


def open_language_split(recipe: AnyRecipe, split: str) -> SampleSource:
    """Rows of packed text of a pretraining recipe; labelled sentences of a fine-tuning recipe."""
    from r2mae.datasets.language_open import open_rows, open_sentences

    data = _data(recipe)
    if recipe.task == "pretrain":
        return open_rows(data, split, words=recipe.mask.pattern == "word")  # type: ignore[attr-defined]
    return open_sentences(data, split, regression=recipe.tune.regression)  # type: ignore[attr-defined]


def open_given_texts(recipe: AnyRecipe, paths: list[str], column: str | None = None) -> SampleSource:
    """Texts of a file that a user names: each is a sample."""
    from r2mae.datasets.language_open import open_given_sentences

    if len(paths) != 1:
        raise InputError(f"DATA must be one file, got {len(paths)}.")
    data = _data(recipe)
    if column is not None:
        data = data.model_copy(update={"column": column, "columns": (column,)})
    return open_given_sentences(data, paths[0])


def tokenizer_of(recipe: AnyRecipe) -> Any:
    """The tokenizer of a recipe's texts."""
    from r2mae.datasets.language_open import find_store, find_tokenizer

    data = _data(recipe)
    if torch.get_default_device().type == "meta" and _is_remote(data):
        return find_tokenizer(data.model_copy(update={"tokenizer": BYTES}))  # shapes alone are asked for
    if isinstance(data, LanguageData) and data.tokenizer is None:
        return find_store(data).tokenizer
    return find_tokenizer(data)


def named_tokenizer(source: str) -> Any:
    """The tokenizer at a folder, hub id or run that a user names."""
    from r2mae.datasets.tokenizer import load_tokenizer

    if is_run(source):
        source = str(kept_tokenizer(read_manifest(find_checkpoint(source))))
    return load_tokenizer(source)


def _is_remote(data: Any) -> bool:
    """Whether texts, or a tokenizer by its id, would have to be fetched."""
    card = load_card(data.card)
    away = card.embedded is None and locate(card, data.root) is None
    return away or (isinstance(data.tokenizer, str) and not Path(data.tokenizer).exists())


def build_masked_language(recipe: AnyRecipe) -> nn.Module:
    """The masked language model of a pretraining recipe."""
    from r2mae.models.language import MaskedLanguageModel

    section, mask = recipe.model, recipe.mask  # type: ignore[attr-defined]
    config = language_config(recipe)
    whole = _from_config(config)
    if section.init_from is not None:
        check_same_words(tokenizer_of(recipe), section.init_from)
    model = MaskedLanguageModel(
        whole,
        _vocabulary(recipe, config),
        length=recipe.data.length,
        replacement=mask.replacement,
        pooling=section.pooling,
    )
    return filled(model, section.init_from) if section.init_from is not None else model


def build_language_encoder(recipe: AnyRecipe) -> nn.Module:
    """The encoder of a fine-tuning recipe."""
    from r2mae.models.language import LanguageEncoder

    section, config = recipe.model, language_config(recipe)
    if section.init_from is not None:
        check_same_words(tokenizer_of(recipe), section.init_from)
    model = LanguageEncoder(_from_config(config).base_model, _vocabulary(recipe, config), section.pooling)
    return filled(model, section.init_from) if section.init_from is not None else model


def _from_config(config: Any) -> Any:
    """A model of a configuration. Raises: InputError where transformers cannot build it."""
    from transformers import AutoModelForMaskedLM

    try:
        return AutoModelForMaskedLM.from_config(config)
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError, RuntimeError) as error:
        raise _unbuildable(error) from None


def _unbuildable(error: Exception) -> InputError:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return InputError(f"model must be what transformers can build, got: {first[:200]}")


def know_texts(recipe: AnyRecipe) -> dict[str, Any]:
    """What a checkpoint says beside its tensors: the tokenizer's files, and transformers' configuration."""
    from r2mae.datasets.tokenizer import tokenizer_files

    return {
        "tokenizer": tokenizer_files(tokenizer_of(recipe)),
        "transformers": language_config(recipe).to_diff_dict(),
    }


def with_texts(recipe: AnyRecipe, manifest: dict[str, Any]) -> AnyRecipe:
    """The recipe with the tokenizer and configuration of a checkpoint."""
    place = kept_tokenizer(manifest)
    config = {key: value for key, value in manifest["transformers"].items() if key != "transformers_version"}
    plain = dict.fromkeys([*_SHAPE, "dropout"])
    return recipe.model_copy(
        update={
            "data": _with_tokenizer(recipe.data, str(place)),
            "model": recipe.model.model_copy(update=plain | {"encoder": config.pop("model_type"), "config": config}),
        }
    )


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
    offset = _offset(section.encoder, tokenizer)
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
    for ours, theirs in _SHAPE.items():
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
    for ours, theirs in _SHAPE.items():
        wanted, has = getattr(section, ours), source.get(theirs[0], given.get(theirs[0]))
        if wanted is not None and has is not None and wanted != has:
            raise InputError(f"model.{ours} must be {has}, as init_from has, got {wanted}. Leave it out.")
    shape = {name for names in _SHAPE.values() for name in names} | {"vocab_size", "max_position_embeddings"}
    strange = next((key for key, value in section.config.items() if key in shape and source.get(key) != value), None)
    if strange is not None:
        raise InputError(f"model.config.{strange} must be left out with init_from, whose shape is taken, got a value.")
    own = {key: value for key, value in given.items() if key not in shape}
    return {key: value for key, value in source.items() if key not in ("model_type", "transformers_version")} | own


def _offset(encoder: str, tokenizer: Any) -> int:
    """Positions that an architecture does not count from."""
    return int(tokenizer.pad_token_id) + 1 if encoder == "roberta" else 0


def _borders(tokenizer: Any) -> tuple[int, int]:
    found = borders(tokenizer)
    assert found is not None  # checked when it was loaded
    return found


def _vocabulary(recipe: AnyRecipe, config: Any) -> Any:
    from r2mae.models.language import Vocabulary

    tokenizer = tokenizer_of(recipe)
    special = {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}
    # Beyond the tokenizer's words an embedding may have room that no text uses.
    special |= set(range(len(tokenizer), config.vocab_size))
    return Vocabulary(config.vocab_size, tokenizer.mask_token_id, tokenizer.pad_token_id, tuple(sorted(special)))


def _data(recipe: AnyRecipe) -> Any:
    """The data section; a tokenizer that is a run's folder becomes the run's tokenizer."""
    data, source = recipe.data, recipe.data.tokenizer
    if is_awaited(recipe.model.init_from):  # found missing when its weights are asked for
        return data.model_copy(update={"tokenizer": BYTES})
    if source is None and is_run(recipe.model.init_from):
        source = recipe.model.init_from
    if source is None and recipe.model.init_from is not None and not is_run(recipe.model.init_from):
        return _with_tokenizer(data, str(recipe.model.init_from))
    if isinstance(source, str) and is_run(source):
        return _with_tokenizer(data, str(kept_tokenizer(read_manifest(find_checkpoint(source)))))
    return data


def _with_tokenizer(data: Any, place: str) -> Any:
    from r2mae.datasets.text_store import is_text_store

    root = getattr(data, "root", None)
    if root is not None and isinstance(data, LanguageData) and is_text_store(Path(root)):
        return data  # a store has its own
    return data.model_copy(update={"tokenizer": place})


def export_language(loaded: Any, library: str, folder: Path, tokenizer: Any = None) -> float:
    """Write a run's model and tokenizer for transformers; gives the largest difference of logits.

    tokenizer: None is that of the run's texts.

    Raises: InputError for other libraries, and heads or poolings that transformers does not have.
    """
    from r2mae.interop.export_language import export_classifier, export_masked_language
    from r2mae.interop.folder import write_folder

    recipe, model = loaded.recipe, loaded.model.cpu()
    if library != "transformers":
        raise InputError(f"--to must be transformers for {recipe.modality}, got {library}.")
    tokenizer = copy.deepcopy(tokenizer_of(recipe) if tokenizer is None else tokenizer)
    config = (model.base if recipe.task == "pretrain" else model.backbone.base).config
    if getattr(config, "type_vocab_size", 1) > 1:  # pairs were trained with types
        tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer.model_max_length = config.max_position_embeddings - _offset(config.model_type, tokenizer)
    if recipe.task == "pretrain":
        return write_folder(folder, lambda to: export_masked_language(model, tokenizer, to))
    if recipe.tune.hidden is not None:
        raise InputError("tune.hidden must be null to be exported, since transformers has a head of its own.")
    pooling, kind = recipe.model.pooling, recipe.model.encoder
    if kind != "modernbert" and pooling != "cls":
        raise InputError(
            f"model.pooling must be cls to be exported as {kind}, as transformers pools it, got {pooling}."
        )
    names, target = loaded.manifest["class_names"], loaded.manifest.get("target")
    return write_folder(folder, lambda to: export_classifier(model, tokenizer, to, names, target))
