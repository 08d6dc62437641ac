"""Open the packed rows of a recipe's texts: their store, built in the cache, and their tokenizer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from r2mae.data.atomic import atomic_folder
from r2mae.data.cache import cache_folder, open_cached
from r2mae.data.card import load_card
from r2mae.data.lock import one_at_a_time
from r2mae.data.source import SampleSource, hold_out
from r2mae.data.tokenizer import (
    load_tokenizer,
    save_tokenizer,
    tokenizer_fingerprint,
)
from r2mae.data.tokenizer_training import BYTES, byte_tokenizer, train_tokenizer
from r2mae.errors import InputError
from r2mae.modalities.language.build import Texts, build_text_store
from r2mae.modalities.language.rows import PackedRows
from r2mae.modalities.language.schema import LanguageData, TokenizerTraining
from r2mae.modalities.language.store import (
    FORMAT,
    TextStore,
    is_text_store,
    open_text_store,
)
from r2mae.modalities.language.texts import data_place, find_texts
from r2mae.progress import listener

_SAMPLE = 1 << 26  # characters that a tokenizer is trained on


def open_rows(
    section: LanguageData, split: str, *, whole_words: bool = False
) -> SampleSource:
    """Rows of packed text. Split "test" is the card's own, else what is held out of training.

    whole_words: batches say which tokens make up a word, for masks of words.
    Raises: InputError when the data is missing or damaged.
    """
    has_test = section.root is None and "test" in load_card(section.card).files
    store = find_store(section, "test" if split == "test" and has_test else "train")
    rows = PackedRows(
        store, section.length, attend=section.attend, with_units=whole_words
    )
    if split == "test" and not has_test:
        return hold_out(rows, section.held_out)[1]
    return rows


def find_store(section: LanguageData, split: str = "train") -> TextStore:
    """The store at the section's root, or that of its texts in the cache, built if absent."""
    place = data_place(section)
    if place is not None and is_text_store(place):
        store = open_text_store(place)
        _check_tokenizer(section, store)
        return store
    texts = find_texts(section, split)
    tokenizer = find_tokenizer(section)
    version = FORMAT.split()[-1]  # stores of other versions are not opened
    name = f"{texts.fingerprint}_{tokenizer_fingerprint(tokenizer)}_{version}"
    cached = cache_folder("text") / name
    return open_cached(
        cached,
        _open_with_tokenizer,
        lambda: build_text_store(cached, texts, tokenizer, listener.get()),
    )


def _check_tokenizer(section: LanguageData, store: TextStore) -> None:
    """Raise InputError where a section names another tokenizer than its store's."""
    if section.tokenizer is None:
        return
    if isinstance(section.tokenizer, str):
        fingerprint = tokenizer_fingerprint(load_tokenizer(section.tokenizer))
        if fingerprint == tokenizer_fingerprint(store.tokenizer):
            return
    raise InputError(
        f"data.tokenizer must be the store's own, which {store.place} has, got another. "
        "Leave data.tokenizer out."
    )


def _open_with_tokenizer(place: Path) -> TextStore:
    """A store whose tokenizer has been read too. Raises: InputError for damaged ones."""
    store = open_text_store(place)
    store.tokenizer  # noqa: B018 - reads it
    return store


def find_tokenizer(section: Any) -> Any:
    """The tokenizer that a section names, or one trained on its texts, kept in the cache.

    Raises: InputError when there is none.
    """
    tokenizer = section.tokenizer
    if tokenizer == BYTES:
        return byte_tokenizer()
    if tokenizer is None and isinstance(section, LanguageData):
        place = data_place(section)
        if place is not None and is_text_store(place):
            return open_text_store(place).tokenizer
    if tokenizer is None:
        raise InputError(
            "data.tokenizer must be a folder, a hub id, a run or {vocab_size: N}, got nothing."
        )
    if isinstance(tokenizer, str):
        return load_tokenizer(tokenizer)
    return _trained(find_texts(section), tokenizer)


def _trained(texts: Texts, training: TokenizerTraining) -> Any:
    """The tokenizer in the cache, trained if absent or damaged."""
    name = f"tokenizer_{training.kind}_{training.vocab_size}_{texts.fingerprint}"
    place = cache_folder("text") / name

    def train() -> Any:
        with one_at_a_time(place):
            if not place.is_dir():
                tokenizer = train_tokenizer(
                    sample_texts(texts), training.kind, training.vocab_size
                )
                with atomic_folder(place) as unfinished:
                    save_tokenizer(tokenizer, unfinished)
        return load_tokenizer(str(place))

    return open_cached(place, lambda folder: load_tokenizer(str(folder)), train)


def sample_texts(texts: Texts) -> Iterator[str]:
    """The first texts, up to the number of characters that a tokenizer is trained on."""
    size = 0
    for piece in texts.pieces():
        yield piece.text
        size += len(piece.text)
        if size > _SAMPLE:
            return
