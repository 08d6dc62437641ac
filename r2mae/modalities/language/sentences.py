"""Open labelled sentences of a recipe's data, or texts in memory."""

import os
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from r2mae.data.bad_rows import BadRows
from r2mae.data.card import load_card, missing_data
from r2mae.data.fingerprint import fingerprint_bytes, fingerprint_files
from r2mae.data.labels import LabelColumn, class_numbers, columns_of, real_numbers
from r2mae.data.objects import list_objects
from r2mae.data.source import SampleSource
from r2mae.data.text_files import expand_texts, fault_of_text
from r2mae.data.text_stream import suffix_of
from r2mae.data.text_tables import kind_of, read_table, rename, select_column
from r2mae.data.tokenizer import tokenizer_fingerprint
from r2mae.errors import InputError
from r2mae.modalities.language.rows import Sentences
from r2mae.modalities.language.schema import SentenceData
from r2mae.modalities.language.splits import find_tokenizer
from r2mae.modalities.language.texts import (
    data_place,
    load_hub_split,
    split_files,
)
from r2mae.modalities.language.tokenise import Integers, LongTexts, tokenise_texts


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
        raise missing_data(card)
    label = section.label_column or card.label_column
    if place is None:
        rows = load_hub_split(card, split)
        fingerprint = rows._fingerprint
        return _labelled(section, rows, str(card.hub), fingerprint, label, regression)
    files = expand_texts([str(path) for path in split_files(section, split)])
    paths = [path for path in files if kind_of(path) is not None]
    suffixes = sorted({suffix_of(path) for path in paths})
    if len(suffixes) != 1:
        got = " and ".join(suffixes) or "no table"
        raise InputError(
            f"{place} must hold for split {split!r} tables of one kind, got {got}."
        )
    stamps = tuple((os.path.realpath(path), path.stat().st_mtime_ns) for path in paths)
    return _from_tables(section, tuple(paths), stamps, label, regression)


@lru_cache(maxsize=4)
def _from_tables(
    section: SentenceData,
    paths: tuple[Path, ...],
    stamps: Any,  # noqa: ARG001 - read anew when a file changes
    label: LabelColumn | None,
    regression: bool,
) -> Sentences:
    """A split's sentences, kept as long as the files stay as they are."""
    import datasets

    text = load_card(section.card).text
    parts = [rename(read_table(path, text), text) for path in paths]
    rows = parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts)
    fingerprint = "".join(fingerprint_files(path.parent, [path]) for path in paths)
    return _labelled(section, rows, str(paths[0]), fingerprint, label, regression)


def open_text_objects(section: Any, texts: Any) -> SampleSource:
    """Texts in memory; pairs where the section has two columns.

    Raises: InputError for what is no list of texts.
    """
    columns = text_columns(section)
    kind = "texts" if len(columns) == 1 else "pairs of texts"
    items = list_objects(texts, kind)
    rows = [(text,) if len(columns) == 1 else text for text in items]
    for number, row in enumerate(rows):
        if not isinstance(row, tuple | list) or len(row) != len(columns):
            raise InputError(
                f"objects must be a list of {kind}, got {row!r:.40} at {number}."
            )
    parts = [list(part) for part in zip(*rows, strict=True)]
    table = _keep_texts(parts, columns, "objects", BadRows())
    source = tokenised(section, table, "objects")
    if text := describe_tokens(source).get("text"):
        warnings.warn(text, stacklevel=4)
    return source


def text_columns(section: Any) -> tuple[str, ...]:
    """Names of the columns with texts: one, or two for pairs."""
    return getattr(section, "columns", None) or (section.column,)


def describe_tokens(source: Sentences) -> dict[str, Any]:
    """How many texts exceed data.length, and what share of tokens is unknown.

    "text" is a line on both, absent where there is nothing to report.
    """
    tokens = source.tokens
    num_texts = len(source.numbers)
    share = tokens.num_unknown / max(1, tokens.num_tokens)
    facts = {"long_texts": tokens.num_long, "unknown_tokens": round(share, 6)}
    parts = []
    if tokens.num_long:
        is_split = len(tokens.owners) > num_texts
        action = "averaged over windows" if is_split else "cut there"
        parts.append(
            f"{tokens.num_long:,} of {num_texts:,} texts "
            f"({100 * tokens.num_long / num_texts:.3g} %) exceed data.length, {tokens.limit} "
            f"tokens, and were {action}"
        )
    if tokens.num_unknown:
        parts.append(f"{100 * share:.3g} % of tokens are unknown to the tokenizer")
    return facts | ({"text": "; ".join(parts)} if parts else {})


class Table(NamedTuple):
    """Columns of texts, each text's row in the file, and a note on skipped rows.

    files: of the texts, where each is a file of its own.
    """

    texts: list[list[str]]
    numbers: Integers
    note: str = ""
    files: tuple[Path, ...] = ()


def read_columns(
    columns: tuple[str, ...], rows: Any, where: str, bad_rows: BadRows
) -> Table:
    """The texts of a table's rows. bad_rows: also those skipped when the table was read.

    Raises: InputError for bad rows, and where more than half of the rows were skipped.
    """
    for column in columns:
        rows = select_column(rows, column, where)
    texts = [rows[column][:] for column in columns]
    if not texts[0]:
        raise InputError(f"{where} must hold rows, got none.")
    every = np.arange(len(texts[0]) + len(bad_rows.numbers))
    numbers = np.setdiff1d(every, np.array(bad_rows.numbers, dtype=np.int64))
    table = _keep_texts(texts, columns, where, bad_rows)
    bad_rows.check_few(len(every), where)
    return table._replace(numbers=numbers[table.numbers])


def _keep_texts(
    texts: list[list[Any]], columns: tuple[str, ...], where: str, bad_rows: BadRows
) -> Table:
    """The rows with text in all columns; others are rejected."""
    kept = []
    for number, row in enumerate(zip(*texts, strict=True)):
        faults = zip(map(fault_of, row), columns, strict=True)
        fault, column = next((pair for pair in faults if pair[0]), ("", ""))
        if fault:
            bad_rows.reject(number, f"{where}: row {number} of {column} must {fault}.")
        else:
            kept.append(number)
    if not kept:
        raise InputError(f"{where} must hold texts, got none.")
    if len(kept) < len(texts[0]):
        texts = [list(map(column.__getitem__, kept)) for column in texts]
    return Table(texts, np.array(kept, dtype=np.int64), bad_rows.note)


def fault_of(text: Any) -> str:
    """Which rule a text breaks; empty for none."""
    if isinstance(text, str) and not text.strip():
        return f"be text, got {text!r:.40}"
    return fault_of_text(text)


def _labelled(
    section: Any,
    rows: Any,
    where: str,
    fingerprint: str,
    label: LabelColumn | None,
    regression: bool,
) -> Sentences:
    """Sentences of a table's rows. fingerprint: of the table's content."""
    table = read_columns(text_columns(section), rows, where, BadRows())
    for column in columns_of(label):
        rows = select_column(rows, column, where)
    labels: dict[str, Any] = {}
    if label is not None and regression:
        assert isinstance(label, str)
        labels["targets"] = real_numbers(rows[label][:], label, where)
    elif label is not None:
        numbers, class_names = class_numbers(rows, label, where)
        labels = {"labels": numbers, "class_names": class_names}
    return tokenised(section, table, where, content=fingerprint, **labels)


def tokenised(
    section: Any,
    table: Table,
    where: str,
    long_texts: LongTexts = "cut",
    *,
    content: str = "",
    unit: str = "row",
    **labels: Any,
) -> Sentences:
    """Texts, or pairs of texts, as tokens. content: fingerprint of the texts."""
    tokenizer = find_tokenizer(section)
    second = table.texts[1] if len(table.texts) > 1 else None

    def name(number: int) -> str:
        if table.files:
            return str(table.files[number])
        return f"{where}: {unit} {table.numbers[number]}"

    if second is not None and long_texts == "windows":
        raise InputError(
            "--long-texts must be cut or error for pairs of texts, got windows."
        )
    tokens = tokenise_texts(
        tokenizer, table.texts[0], second, section.length, long_texts, name
    )
    fingerprint = fingerprint_bytes(
        f"{content}{tokenizer_fingerprint(tokenizer)}{section.length}"
    )
    return Sentences(
        tokens,
        table.numbers,
        pad=int(tokenizer.pad_token_id),
        fingerprint=fingerprint,
        where=where,
        unit=unit,
        files=table.files,
        note=table.note,
        **labels,
    )
