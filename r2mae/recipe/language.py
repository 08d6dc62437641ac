"""What texts bring: models of transformers over a tokenizer, which a checkpoint carries along."""

import copy
from pathlib import Path
from typing import Any

from torch import nn

from r2mae.datasets.source import SampleSource
from r2mae.errors import InputError
from r2mae.recipe.language_config import (
    SHAPE,
    language_config,
    model_of,
    position_offset,
    texts_section,
    tokenizer_of,
    vocabulary_of,
    with_tokenizer,
)
from r2mae.recipe.language_source import (
    check_same_words,
    filled,
    kept_tokenizer,
)
from r2mae.recipe.start import find_checkpoint, is_run
from r2mae.schema.recipe import AnyRecipe
from r2mae.training.checkpoint import read_manifest


def open_language_split(recipe: AnyRecipe, split: str) -> SampleSource:
    """Rows of packed text of a pretraining recipe; labelled sentences of a fine-tuning recipe."""
    from r2mae.datasets.language_open import open_rows, open_sentences

    data = texts_section(recipe)
    if recipe.task == "pretrain":
        return open_rows(data, split, words=recipe.mask.pattern == "word")  # type: ignore[attr-defined]
    return open_sentences(data, split, regression=recipe.tune.regression)  # type: ignore[attr-defined]


def open_given_texts(recipe: AnyRecipe, paths: list[str], column: str | None = None) -> SampleSource:
    """Texts of a file that a user names: each is a sample."""
    from r2mae.datasets.language_open import open_given_sentences

    if len(paths) != 1:
        raise InputError(f"DATA must be one file, got {len(paths)}.")
    data = texts_section(recipe)
    if column is not None:
        data = data.model_copy(update={"column": column, "columns": (column,)})
    return open_given_sentences(data, paths[0])


def named_tokenizer(source: str) -> Any:
    """The tokenizer at a folder, hub id or run that a user names."""
    from r2mae.datasets.tokenizer import load_tokenizer

    if is_run(source):
        source = str(kept_tokenizer(read_manifest(find_checkpoint(source))))
    return load_tokenizer(source)


def build_masked_language(recipe: AnyRecipe) -> nn.Module:
    """The masked language model of a pretraining recipe."""
    from r2mae.models.language import MaskedLanguageModel

    section, mask = recipe.model, recipe.mask  # type: ignore[attr-defined]
    config = language_config(recipe)
    whole = model_of(config)
    if section.init_from is not None:
        check_same_words(tokenizer_of(recipe), section.init_from)
    model = MaskedLanguageModel(
        whole,
        vocabulary_of(recipe, config),
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
    model = LanguageEncoder(model_of(config).base_model, vocabulary_of(recipe, config), section.pooling)
    return filled(model, section.init_from) if section.init_from is not None else model


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
    plain = dict.fromkeys([*SHAPE, "dropout"])
    return recipe.model_copy(
        update={
            "data": with_tokenizer(recipe.data, str(place)),
            "model": recipe.model.model_copy(update=plain | {"encoder": config.pop("model_type"), "config": config}),
        }
    )


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
    tokenizer.model_max_length = config.max_position_embeddings - position_offset(config.model_type, tokenizer)
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
