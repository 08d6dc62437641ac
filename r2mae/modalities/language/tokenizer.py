"""The tokenizer of a recipe: its own, or that of the run or model it starts from."""

from pathlib import Path
from typing import Any

import torch

from r2mae.data.card import load_card, locate
from r2mae.data.tokenizer import load_tokenizer
from r2mae.data.tokenizer_training import BYTES, byte_tokenizer
from r2mae.interop.transformer_source import checkpoint_tokenizer
from r2mae.modalities.language.schema import LanguageData, TokenizerTraining
from r2mae.modalities.language.store import is_text_store
from r2mae.models.language_encoder import Vocabulary
from r2mae.schema.recipe import AnyRecipe
from r2mae.training.checkpoint import read_manifest
from r2mae.training.start import find_checkpoint, is_awaited, is_run


def recipe_tokenizer(recipe: AnyRecipe) -> Any:
    """The tokenizer of a recipe's texts."""
    from r2mae.modalities.language.splits import find_store, find_tokenizer

    data = data_with_tokenizer(recipe)
    if torch.get_default_device().type == "meta" and _is_remote(data):
        # Only shapes are needed, so nothing is downloaded.
        return find_tokenizer(data.model_copy(update={"tokenizer": BYTES}))
    if isinstance(data, LanguageData) and data.tokenizer is None:
        return find_store(data).tokenizer
    return find_tokenizer(data)


def named_tokenizer(source: str) -> Any:
    """The tokenizer of a folder, a hub id or a run that `--tokenizer` names."""
    if is_run(source):
        source = str(_run_tokenizer(source, "--tokenizer"))
    return load_tokenizer(source, key="--tokenizer")


def data_with_tokenizer(recipe: AnyRecipe) -> Any:
    """The data section, with the tokenizer of `model.init_from` if it names none itself."""
    data, source, start = recipe.data, recipe.data.tokenizer, recipe.model.init_from
    if is_awaited(start):  # refused later, when its weights are loaded
        return data.model_copy(update={"tokenizer": BYTES})
    if source is None and is_run(start):
        source = start
    if source is None and start is not None:
        return set_tokenizer(data, str(start))
    if isinstance(source, str) and is_run(source):
        key = "model.init_from" if source == start else "data.tokenizer"
        return set_tokenizer(data, str(_run_tokenizer(source, key)))
    return data


def _run_tokenizer(source: str, key: str) -> Path:
    """Folder with the tokenizer of a run that key names."""
    return checkpoint_tokenizer(read_manifest(find_checkpoint(source, key)))


def set_tokenizer(data: Any, source: str) -> Any:
    """The data section with another tokenizer, unless its texts are a store with its own."""
    root = getattr(data, "root", None)
    if (
        root is not None
        and isinstance(data, LanguageData)
        and is_text_store(Path(root))
    ):
        return data
    return data.model_copy(update={"tokenizer": source})


def embedding_size(recipe: AnyRecipe, tokenizer: Any) -> int:
    """Rows of the token embedding, also of a tokenizer that is not trained yet."""
    training = recipe.data.tokenizer
    if isinstance(training, TokenizerTraining) and tokenizer is byte_tokenizer():
        return training.vocab_size
    return len(tokenizer)


def vocabulary(tokenizer: Any, size: int) -> Vocabulary:
    """The token ids that a model needs. size: rows of the embedding.

    The unknown token is special too: it stands for any text, so there is nothing to learn
    from predicting it.
    """
    special = {*tokenizer.all_special_ids}
    special |= set(range(len(tokenizer), size))  # padding rows of the embedding
    return Vocabulary(
        size, tokenizer.mask_token_id, tokenizer.pad_token_id, tuple(sorted(special))
    )


def _is_remote(data: Any) -> bool:
    """Whether the texts, or a tokenizer given by its hub id, would have to be downloaded."""
    card = load_card(data.card)
    is_missing = card.embedded is None and locate(card, data.root) is None
    return is_missing or (
        isinstance(data.tokenizer, str) and not Path(data.tokenizer).exists()
    )
