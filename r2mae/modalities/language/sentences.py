"""Open labelled sentences: of a recipe's data, of a file, or in memory."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from r2mae.data.card import load_card
from r2mae.data.fingerprint import fingerprint_bytes, fingerprint_files
from r2mae.data.labels import class_numbers, real_numbers
from r2mae.data.objects import list_objects
from r2mae.data.source import SampleSource
from r2mae.data.text_files import (
    check_column,
    check_unicode,
    check_utf8,
    expand_texts,
    kind_of,
    read_table,
)
from r2mae.data.tokenizer import tokenizer_fingerprint
from r2mae.errors import InputError
from r2mae.modalities.language.rows import Sentences, tokenise_texts
from r2mae.modalities.language.schema import SentenceData
from r2mae.modalities.language.splits import find_tokenizer
from r2mae.modalities.language.texts import data_place, load_hub_split


def open_sentences(
    section: SentenceData, split: str, *, regression: bool = False
) -> SampleSource:
    """Labelled sentences of a split, "train" or "test".

    regression: labels are numbers, not classes.
    Raises: InputError when the data is missing or damaged, or a column is missing.
    """
    card = load_card(section.card)
    place = data_place(section)
    if place is None and card.hub is None:
        raise InputError(
            "data.root must be given for this card, got nothing. Name the folder of your data."
        )
    label = section.label_column or card.label_column
    if place is None:
        rows = load_hub_split(card, split)
        fingerprint = rows._fingerprint
        return _from_rows(section, rows, str(card.hub), fingerprint, label, regression)
    names = card.files.get(split, (f"{split}.*",))
    files = expand_texts([str(place / name) for name in names])
    paths = [path for path in files if kind_of(path) is not None]
    suffixes = sorted({path.suffix.lower() for path in paths})
    if len(suffixes) != 1:
        got = " and ".join(suffixes) or "no table"
        raise InputError(
            f"{place} must hold {' or '.join(names)}, tables of one kind, got {got}."
        )
    stamps = tuple((os.path.realpath(path), path.stat().st_mtime_ns) for path in paths)
    return _from_tables(section, tuple(paths), stamps, label, regression)


@lru_cache(maxsize=4)
def _from_tables(
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
    fingerprint = "".join(fingerprint_files(path.parent, [path]) for path in paths)
    return _from_rows(section, rows, str(paths[0]), fingerprint, label, regression)


def open_given_sentences(section: Any, path: str) -> SampleSource:
    """All texts of a file that a user names: lines of a .txt, or rows of a table."""
    files = expand_texts([path])
    if len(files) > 1:
        raise InputError(f"DATA must be one file, got {len(files)}.")
    file = files[0]
    if kind_of(file) is not None:
        rows = read_table(file, load_card(section.card).text)
        return _from_rows(section, rows, str(file), "", None, False)
    check_utf8(file)
    # Python reads \r\n as \n.
    lines = file.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise InputError(
                f"{file}: line {number} must be text, got nothing. Take it out, as rows are named by lines."
            )
    return _tokenised(section, [lines], str(file))


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
    for part, column in zip(parts, columns, strict=True):
        _check_texts(part, column, "objects")
    return _tokenised(section, parts, "objects")


def _from_rows(
    section: Any,
    rows: Any,
    where: str,
    fingerprint: str,
    label: str | None,
    regression: bool,
) -> Sentences:
    """Sentences of a table's rows. fingerprint: of the table's content."""
    columns = getattr(section, "columns", None) or (section.column,)
    labelled = () if label is None else (label,)
    for column in (*columns, *labelled):
        check_column(rows.column_names, column, where)
    texts = [rows[column][:] for column in columns]
    for column, values in zip(columns, texts, strict=True):
        _check_texts(values, column, where)
    if not texts[0]:
        raise InputError(f"{where} must hold rows, got none.")
    labels: dict[str, Any] = {}
    if label is not None and regression:
        labels["targets"] = real_numbers(rows[label][:], label, where)
    elif label is not None:
        numbers, class_names = class_numbers(rows, label, where)
        labels = {"labels": numbers, "class_names": class_names}
    return _tokenised(section, texts, where, fingerprint, **labels)


def _check_texts(texts: list[Any], column: str, where: str) -> None:
    """Raise InputError where a row of a column is empty or no text."""
    for row, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise InputError(
                f"{where}: row {row} of {column} must be text, got {text!r:.40}."
            )
        check_unicode(text, f"{where}: row {row} of {column}")


def _tokenised(
    section: Any,
    texts: list[list[str]],
    where: str,
    content: str = "",
    **labels: Any,
) -> Sentences:
    """Texts, or pairs of texts, as tokens. content: fingerprint of the texts."""
    tokenizer = find_tokenizer(section)
    second = texts[1] if len(texts) > 1 else None
    ids, starts, types = tokenise_texts(tokenizer, texts[0], second, section.length)
    fingerprint = fingerprint_bytes(
        f"{content}{tokenizer_fingerprint(tokenizer)}{section.length}"
    )
    return Sentences(
        ids,
        starts,
        types,
        pad=int(tokenizer.pad_token_id),
        fingerprint=fingerprint,
        where=where,
        **labels,
    )
