"""Build the models and open the data of a language recipe.

Models are those of transformers; checkpoints include the tokenizer and the configuration.
"""

from pathlib import Path
from typing import Any

from torch import nn

from r2mae.data.source import SampleSource
from r2mae.data.tokenizer import tokenizer_files
from r2mae.errors import InputError
from r2mae.interop.token_rule import check_same_tokens
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
from r2mae.modalities.language.given_texts import Reading, open_given_texts
from r2mae.modalities.language.questions import (
    Questions,
    describe_questions,
    open_question_files,
    open_questions,
)
from r2mae.modalities.language.sentences import (
    describe_tokens,
    open_sentences,
    open_text_objects,
)
from r2mae.modalities.language.splits import find_store, open_rows
from r2mae.modalities.language.tagged import (
    TaggedSentences,
    describe_words,
    open_tagged,
    open_tagged_file,
)
from r2mae.modalities.language.tokenizer import (
    data_with_tokenizer,
    embedding_size,
    recipe_tokenizer,
    set_tokenizer,
    vocabulary,
)
from r2mae.models.language_encoder import LanguageEncoder
from r2mae.models.masked_language import MaskedLanguageModel
from r2mae.schema.recipe import AnyRecipe


def open_split(recipe: AnyRecipe, split: str) -> SampleSource:
    """Rows of packed text of a pretraining recipe; labelled sentences of a fine-tuning recipe."""
    data = data_with_tokenizer(recipe)
    if recipe.task == "pretrain":
        return open_rows(data, split, whole_words=recipe.mask.pattern == "word")  # type: ignore[attr-defined]
    target = recipe.tune.target.name  # type: ignore[attr-defined]
    if target == "token_tags":
        return open_tagged(data, split)
    if target == "answer_span":
        return open_questions(data, split)
    return open_sentences(data, split, regression=target == "regression")


def describe_data(recipe: AnyRecipe) -> dict[str, str]:
    """Number of tokens or texts, those that are cut, and the share of unknown tokens."""
    data = data_with_tokenizer(recipe)
    if recipe.task == "pretrain":
        meta = find_store(data).meta
        text = f"{meta['tokens']:,} in {meta['documents']:,} documents"
        if unknown := meta.get("unknown_tokens"):
            share = 100 * unknown / meta["tokens"]
            text += f"; {share:.3g} % unknown to the tokenizer"
        return {"tokens": text}
    lines = {}
    for split in ("train", *recipe.tested_splits):  # type: ignore[attr-defined]
        source: Any = open_split(recipe, split)
        if isinstance(source, TaggedSentences):
            lines[split] = describe_words(source)
            continue
        if isinstance(source, Questions):
            lines[split] = describe_questions(source)
            continue
        notes = [f"{len(source):,} texts", describe_tokens(source).get("text")]
        lines[split] = "; ".join(note for note in notes if note)
    return lines


def open_paths(recipe: AnyRecipe, paths: list[str], reading: Reading) -> SampleSource:
    """The texts of one file or folder, each a sample."""
    if len(paths) != 1:
        raise InputError(f"DATA must be one file, got {len(paths)}.")
    data, path = data_with_tokenizer(recipe), Path(paths[0])
    target = recipe.tune.target.name if recipe.task == "finetune" else None  # type: ignore[attr-defined]
    if target not in ("token_tags", "answer_span"):
        return open_given_texts(data, paths[0], reading)
    if reading != Reading():
        raise InputError(
            "--column, --long-texts and --skip-bad-rows must be left out for a run with "
            f"tune.target {target}, which reads its own kinds of files, got one of them."
        )
    if target == "token_tags":
        return open_tagged_file(data, path)
    return open_question_files(data, (path,))


def open_objects(recipe: AnyRecipe, texts: Any) -> SampleSource:
    """Texts in memory, each a sample."""
    return open_text_objects(data_with_tokenizer(recipe), texts)


def model_config(recipe: AnyRecipe, tokenizer: Any) -> Any:
    """The transformers configuration of the recipe's model."""
    size = embedding_size(recipe, tokenizer)
    return transformer_config(
        recipe.model, tokenizer, recipe.data.length, vocab_size=size
    )


def build_masked(recipe: AnyRecipe) -> nn.Module:
    """The masked language model of a pretraining recipe."""
    section, tokenizer = recipe.model, recipe_tokenizer(recipe)
    config = model_config(recipe, tokenizer)
    transformer = build_transformer(config)
    if section.init_from is not None:
        check_same_tokens(tokenizer, section.init_from)
    model = MaskedLanguageModel(
        transformer,
        vocabulary(tokenizer, config.vocab_size),
        length=recipe.data.length,
        replacement=recipe.mask.replacement,  # type: ignore[attr-defined]
        pooling=section.pooling,
    )
    if section.init_from is None:
        return model
    return load_transformer_weights(model, section.init_from)


def build_encoder(recipe: AnyRecipe) -> nn.Module:
    """The encoder of a fine-tuning recipe."""
    section, tokenizer = recipe.model, recipe_tokenizer(recipe)
    config = model_config(recipe, tokenizer)
    if section.init_from is not None:
        check_same_tokens(tokenizer, section.init_from)
    base = build_transformer(config).base_model
    model = LanguageEncoder(
        base, vocabulary(tokenizer, config.vocab_size), section.pooling
    )
    if section.init_from is None:
        return model
    return load_transformer_weights(model, section.init_from)


def checkpoint_facts(recipe: AnyRecipe) -> dict[str, Any]:
    """The tokenizer's files and the transformers configuration, for the checkpoint's manifest."""
    tokenizer = recipe_tokenizer(recipe)
    config = model_config(recipe, tokenizer)
    return {
        "tokenizer": tokenizer_files(tokenizer),
        "transformers": config_facts(config),
    }


def with_checkpoint_facts(recipe: AnyRecipe, manifest: dict[str, Any]) -> AnyRecipe:
    """The recipe with the tokenizer and configuration of a checkpoint."""
    data = set_tokenizer(recipe.data, str(checkpoint_tokenizer(manifest)))
    model = recipe.model.model_copy(update=section_of_facts(manifest["transformers"]))
    return recipe.model_copy(update={"data": data, "model": model})
