"""Where a recipe's texts are: a store, or files that become one in the cache; its tokenizer; labelled sentences."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from r2mae.data.atomic import atomic_folder, write_atomic
from r2mae.data.cache import cache_folder, open_cached
from r2mae.data.card import load_card, locate
from r2mae.data.fingerprint import fingerprint_bytes, fingerprint_files
from r2mae.data.labels import class_numbers, real_numbers
from r2mae.data.lock import one_at_a_time
from r2mae.data.objects import list_objects
from r2mae.data.source import SampleSource, hold_out
from r2mae.data.text_files import (
    check_column,
    check_unicode,
    check_utf8,
    expand_texts,
    kind_of,
    read_table,
)
from r2mae.data.tokenizer import (
    BYTES,
    byte_tokenizer,
    load_tokenizer,
    tokenizer_word,
    train_tokenizer,
)
from r2mae.errors import InputError, first_line
from r2mae.modalities.language.build import Texts, build_text_store
from r2mae.modalities.language.rows import PackedRows, Sentences, tokenise_texts
from r2mae.modalities.language.schema import (
    LanguageData,
    SentenceData,
    TokenizerTraining,
)
from r2mae.modalities.language.store import (
    FORMAT,
    TextStore,
    is_text_store,
    open_text_store,
)
from r2mae.progress import listener

_SAMPLE = 1 << 26  # characters that a tokenizer is trained on


def open_rows(
    section: LanguageData, split: str, *, words: bool = False
) -> SampleSource:
    """Rows of packed text. Split "test" is the card's own, or else what is held out of training.

    Raises: InputError when the data is not there or damaged.
    """
    has_test = section.root is None and "test" in load_card(section.card).files
    store = find_store(section, "test" if split == "test" and has_test else "train")
    rows = PackedRows(store, section.length, attend=section.attend, with_units=words)
    return (
        hold_out(rows, section.held_out)[1]
        if split == "test" and not has_test
        else rows
    )


def find_store(section: LanguageData, split: str = "train") -> TextStore:
    """The store of a section: at root, or of its texts, in the cache, built where there is none."""
    place = _place(section)
    if place is not None and is_text_store(place):
        store, wanted = open_text_store(place), section.tokenizer
        same = isinstance(wanted, str) and tokenizer_word(
            load_tokenizer(wanted)
        ) == tokenizer_word(store.tokenizer)
        if wanted is not None and not same:
            remedy = "Leave data.tokenizer out."
            raise InputError(
                f"data.tokenizer must be the store's own, which {place} has, got another. {remedy}"
            )
        return store
    texts = find_texts(section, split)
    tokenizer = find_tokenizer(section)
    version = FORMAT.split()[-1]  # stores of other versions are not opened
    name = f"{texts.fingerprint}_{tokenizer_word(tokenizer)}_{version}"
    return _built(cache_folder("text") / name, texts, tokenizer)


def _built(place: Path, texts: Texts, tokenizer: Any) -> TextStore:
    return open_cached(
        place,
        _open_with_tokenizer,
        lambda: build_text_store(place, texts, tokenizer, listener.get()),
    )


def _open_with_tokenizer(place: Path) -> TextStore:
    """A store whose tokenizer has been read too. Raises: InputError for damaged ones."""
    store = open_text_store(place)
    store.tokenizer  # noqa: B018 - reads it
    return store


def _place(section: Any) -> Path | None:
    return locate(load_card(section.card), section.root)


def find_texts(section: LanguageData, split: str = "train") -> Texts:
    """The texts of a split. Raises: InputError when they are not there."""
    card = load_card(section.card)
    options, column = (
        {k: v for k, v in card.text.items() if k != "column"},
        section.column,
    )
    if "column" in card.text and column == "text":
        column = str(card.text["column"])
    if card.embedded is not None and section.root is None:
        return Texts([_embedded(card.embedded)], column, section.document)
    place = _place(section)
    if place is None and card.hub is not None:
        return Texts(
            [], column, section.document, options, (card.hub, _hub(card, split))
        )
    if place is None:
        raise InputError(
            "data.root must be given for this card, got nothing. Name a store, a file or a glob."
        )
    names = card.files.get(split, ())
    by_name = (
        names
        and place.is_dir()
        and (section.root is None or any(any(place.glob(name)) for name in names))
    )
    patterns = [str(place / name) for name in names] if by_name else [str(place)]
    return Texts(expand_texts(patterns), column, section.document, options)


def _hub(card: Any, split: str) -> Any:
    """A hub data set's split. Raises: InputError when it cannot be had."""
    import datasets

    wanted = card.splits.get(split, split)
    try:
        return datasets.load_dataset(card.hub, card.text.get("subset"), split=wanted)
    except Exception as error:
        raise InputError(
            f"data.card must name a hub data set that can be had, got {card.hub}: {first_line(error)}."
        ) from None


@lru_cache(maxsize=4)
def _embedded(name: str) -> Path:
    """The help texts of Python itself, a paragraph of documentation a topic, as a file in the cache."""
    if name != "pydoc_data.topics":
        raise InputError(
            f"card.embedded must be pydoc_data.topics for texts, got {name!r}."
        )
    from pydoc_data.topics import topics

    text = "\n\n".join(topics[key] for key in sorted(topics))
    place = cache_folder("text") / f"topics_{fingerprint_bytes(text)}.txt"
    with one_at_a_time(place):
        if not place.is_file() or place.stat().st_size != len(text.encode()):
            write_atomic(place, text)
    return place


def find_tokenizer(section: Any) -> Any:
    """The tokenizer that a section names, or that is trained on its texts once and kept.

    Raises: InputError when there is none.
    """
    wanted = section.tokenizer
    if wanted == BYTES:
        return byte_tokenizer()
    place = (
        _place(section)
        if wanted is None and isinstance(section, LanguageData)
        else None
    )
    if place is not None and is_text_store(place):
        return open_text_store(place).tokenizer
    if wanted is None:
        raise InputError(
            "data.tokenizer must be a folder, a hub id, a run or {vocab_size: N}, got nothing."
        )
    if isinstance(wanted, str):
        return load_tokenizer(wanted)
    texts = find_texts(section)
    place = (
        cache_folder("text")
        / f"tokenizer_{wanted.kind}_{wanted.vocab_size}_{texts.fingerprint}"
    )
    return _trained(place, texts, wanted)


def _trained(place: Path, texts: Texts, training: TokenizerTraining) -> Any:
    """The tokenizer in the cache, trained where there is none or a damaged one."""

    def train() -> Any:
        with one_at_a_time(place):
            if not place.is_dir():
                tokenizer = train_tokenizer(
                    sample_texts(texts), training.kind, training.vocab_size
                )
                with atomic_folder(place) as unfinished:
                    tokenizer.save_pretrained(unfinished)
        return load_tokenizer(str(place))

    return open_cached(place, lambda folder: load_tokenizer(str(folder)), train)


def sample_texts(texts: Texts) -> Any:
    """Texts in order, up to as many characters as a tokenizer is trained on."""
    size = 0
    for piece in texts.pieces():
        yield piece.text
        size += len(piece.text)
        if size > _SAMPLE:
            return


def open_sentences(
    section: SentenceData, split: str, *, regression: bool = False
) -> SampleSource:
    """Labelled sentences of a split, "train" or "test".

    Raises: InputError when the data is not there or damaged, or a column is missing.
    """
    card = load_card(section.card)
    place = _place(section)
    if place is None and card.hub is None:
        raise InputError(
            "data.root must be given for this card, got nothing. Name the folder of your data."
        )
    label = section.label_column or card.label_column
    if place is None:
        rows = _hub(card, split)
        return _sentences(
            section, rows, str(card.hub), rows._fingerprint, label, regression
        )
    names = card.files.get(split, (f"{split}.*",))
    files = expand_texts([str(place / name) for name in names])
    paths = [path for path in files if kind_of(path) is not None]
    kinds = sorted({path.suffix.lower() for path in paths})
    if len(kinds) != 1:
        found = " and ".join(kinds) or "no table"
        raise InputError(
            f"{place} must hold {' or '.join(names)}, tables of one kind, got {found}."
        )
    stamps = tuple((os.path.realpath(path), path.stat().st_mtime_ns) for path in paths)
    return _tables(section, tuple(paths), stamps, label, regression)


@lru_cache(maxsize=4)
def _tables(
    section: SentenceData,
    paths: tuple[Path, ...],
    stamps: Any,  # noqa: ARG001 - read anew when a file changes
    label: str | None,
    regression: bool,
) -> Sentences:
    """A split's sentences, kept as long as the files stay as they are."""
    import datasets

    parts = [read_table(path, load_card(section.card).text) for path in paths]
    rows = parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts)
    word = "".join(fingerprint_files(path.parent, [path]) for path in paths)
    return _sentences(section, rows, str(paths[0]), word, label, regression)


def open_given_sentences(section: Any, path: str) -> SampleSource:
    """All texts of a file that a user names: lines of a .txt, or rows of a table."""
    (file, *more) = expand_texts([path])
    if more:
        raise InputError(f"DATA must be one file, got {1 + len(more)}.")
    if kind_of(file) is not None:
        options = load_card(section.card).text
        return _sentences(
            section, read_table(file, options), str(file), "", None, False
        )
    check_utf8(file)
    lines = (
        file.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    )  # \r\n is \n by then
    empty = next(
        (number for number, line in enumerate(lines, 1) if not line.strip()), None
    )
    if empty is not None:
        raise InputError(
            f"{file}: line {empty} must be text, got nothing. Take it out, as rows are named by lines."
        )
    return _made(section, [lines], str(file), "", None, {}, None)


def open_text_objects(section: Any, texts: Any) -> SampleSource:
    """Texts in memory; pairs where the section has two columns.

    Raises: InputError for what is no list of texts.
    """
    columns = getattr(section, "columns", None) or (section.column,)
    kind = "texts" if len(columns) == 1 else "pairs of texts"
    items = list_objects(texts, kind)
    rows = [(text,) if len(columns) == 1 else text for text in items]
    for number, row in enumerate(rows):
        if not isinstance(row, tuple | list) or len(row) != len(columns):
            raise InputError(
                f"objects must be a list of {kind}, got {row!r:.40} at {number}."
            )
    parts = [list(part) for part in zip(*rows, strict=True)]
    checked = [
        _words(part, column, "objects")
        for part, column in zip(parts, columns, strict=True)
    ]
    return _made(section, checked, "objects", "", None, {}, None)


def _sentences(
    section: Any, rows: Any, where: str, word: str, label: str | None, regression: bool
) -> Sentences:
    columns = getattr(section, "columns", None) or (section.column,)
    for column in (*columns, *([label] if label is not None else [])):
        check_column(rows.column_names, column, where)
    texts = [_words(rows[column], column, where) for column in columns]
    if not texts[0]:
        raise InputError(f"{where} must hold rows, got none.")
    if label is None:
        return _made(section, texts, where, word, None, {}, None)
    if regression:
        return _made(
            section,
            texts,
            where,
            word,
            None,
            {},
            real_numbers(rows[label][:], label, where),
        )
    return _made(section, texts, where, word, *class_numbers(rows, label, where), None)


def _words(values: Any, column: str, where: str) -> list[str]:
    texts: list[str] = values[:]
    for row, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise InputError(
                f"{where}: row {row} of {column} must be text, got {text!r:.40}."
            )
        check_unicode(text, f"{where}: row {row} of {column}")
    return texts


def _made(
    section: Any,
    texts: list[list[str]],
    where: str,
    word: str,
    labels: Any,
    names: dict[int, str],
    targets: Any,
) -> Sentences:
    tokenizer = find_tokenizer(section)
    ids, starts, types = tokenise_texts(
        tokenizer, texts[0], texts[1] if len(texts) > 1 else None, section.length
    )
    fingerprint = fingerprint_bytes(
        f"{word}{tokenizer_word(tokenizer)}{section.length}"
    )
    return Sentences(
        ids,
        starts,
        types,
        pad=int(tokenizer.pad_token_id),
        fingerprint=fingerprint,
        where=where,
        labels=labels,
        class_names=names,
        targets=targets,
    )
