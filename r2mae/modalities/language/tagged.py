"""Sentences whose words have tags, such as B-PER: of CoNLL files, or of tables with lists.

N sentences. A word is read at its first token; words without one, mostly because
`data.length` cuts them off, are counted.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from r2mae.data.card import load_card
from r2mae.data.fingerprint import fingerprint_bytes, fingerprint_files
from r2mae.data.source import Batch
from r2mae.data.text_files import fault_of_text
from r2mae.data.text_stream import check_text, open_text
from r2mae.data.text_tables import kind_of, read_table, rename, select_column
from r2mae.data.tokenizer import borders, tokenizer_fingerprint
from r2mae.errors import InputError
from r2mae.evaluation.token_tags import is_tag
from r2mae.modalities.language.rows import Sentences
from r2mae.modalities.language.splits import find_tokenizer
from r2mae.modalities.language.texts import split_files
from r2mae.modalities.language.tokenise import Integers, Tokens

TOKENS, TAGS = "tokens", "ner_tags"  # columns of tables, unless the recipe names others
_DOCUMENT = "-DOCSTART-"


class Tagged(NamedTuple):
    """Words, and tags if there are, of N sentences; numbers: (N,) each one's row or first line."""

    words: list[list[str]]
    tags: list[list[str]] | None
    numbers: Integers
    unit: str


class TaggedSentences(Sentences):
    """A `SampleSource` of sentences of words; "words" (W,) of a batch are where the first tokens of words are.

    read: for each sentence, the words that have a token. tags: of each word, or None.
    """

    labels_absent = "tags of words alone. Score them by r2mae finetune."

    def __init__(
        self, tagged: Tagged, tokenizer: Any, length: int, where: str, content: str
    ) -> None:
        tokens, self.read, self._places = _tokenise(tokenizer, tagged.words, length)
        key = f"{content}{tokenizer_fingerprint(tokenizer)}{length}"
        super().__init__(
            tokens,
            tagged.numbers,
            pad=int(tokenizer.pad_token_id),
            fingerprint=fingerprint_bytes(key),
            where=where,
            unit=tagged.unit,
        )
        self.words, self.tags = tagged.words, tagged.tags
        self.num_words = sum(map(len, tagged.words))
        self.num_cut = self.num_words - sum(map(len, self.read))

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """As of `Sentences`, with "words" (W,) int64: offsets into the flattened rows."""
        batch = super().load(indices, positions, seed)
        width = batch["input_ids"].shape[1]
        places = [
            row * width + self._places[index]
            for row, index in enumerate(indices.tolist())
        ]
        return batch | {"words": torch.from_numpy(np.concatenate(places))}


def describe_words(source: TaggedSentences) -> str:
    """Number of sentences and words, and how many words have no token."""
    text = f"{len(source):,} sentences, {source.num_words:,} words"
    if not source.num_cut:
        return text
    limit = f"beyond data.length, {source.tokens.limit} tokens, or not in the tokenizer"
    return f"{text}, {source.num_cut:,} of them without a token: {limit}"


def open_tagged(section: Any, split: str) -> TaggedSentences:
    """Tagged sentences of a split, "train" or "test".

    Raises: InputError when the data is missing, or a line or row is malformed.
    """
    paths = split_files(section, split)
    if len(paths) > 1:
        got = " and ".join(path.name for path in paths)
        raise InputError(
            f"{paths[0].parent} must hold one file of the {split} split, got {got}."
        )
    stamp = (os.path.realpath(paths[0]), paths[0].stat().st_mtime_ns)
    return _opened(section, paths[0], stamp)


@lru_cache(maxsize=4)
def _opened(section: Any, path: Path, stamp: Any) -> TaggedSentences:  # noqa: ARG001 - read anew when a file changes
    source = open_tagged_file(section, path)
    if source.tags is None:
        raise InputError(f"{path} must hold tags of words, got none.")
    return source


def open_tagged_file(section: Any, path: Path) -> TaggedSentences:
    """The sentences of a CoNLL file or a table, whose tags may be absent."""
    if not path.is_file():
        raise InputError(f"{path} must be a file, got none there. Check the path.")
    is_table = kind_of(path) is not None
    if section.label_column is not None and not is_table:
        raise InputError(
            f"data.label_column must be null for {path}, whose last column holds the tags, "
            f"got {section.label_column!r}. Leave it out."
        )
    tagged = _read_rows(section, path) if is_table else read_conll(path)
    if not tagged.words:
        raise InputError(f"{path} must hold sentences, got none.")
    content = fingerprint_files(path.parent, [path])
    tokenizer = find_tokenizer(section)
    return TaggedSentences(tagged, tokenizer, section.length, str(path), content)


def read_conll(path: Path) -> Tagged:
    """A line for each word: its first column, and its last, the tag; empty lines end sentences.

    Columns are separated by tabs or spaces. Lines of -DOCSTART- are left out. One column
    alone in the whole file is words without tags.

    Raises: InputError naming the line that has another number of columns, or no tag.
    """
    check_text(path)
    words: list[list[str]] = [[]]
    tags: list[list[str]] = [[]]
    numbers, width = [], 0
    with open_text(path, "utf-8") as lines:
        for number, line in enumerate(lines, 1):
            columns = line.split("\t") if "\t" in line.strip() else line.split()
            columns = [column.strip() for column in columns]
            if not any(columns) or columns[0] == _DOCUMENT:
                if words[-1]:
                    words.append([])
                    tags.append([])
                continue
            width = width or len(columns)
            _check_line(columns, width, f"{path}: line {number}")
            if not words[-1]:
                numbers.append(number)
            words[-1].append(columns[0])
            tags[-1].append(columns[-1])
    size = len(numbers)
    rows = np.array(numbers, dtype=np.int64)
    return Tagged(words[:size], tags[:size] if width > 1 else None, rows, "line")


def _check_line(columns: list[str], width: int, where: str) -> None:
    if len(columns) != width or not all(columns):
        raise InputError(
            f"{where} must have {width} columns, as the first line of a word has, "
            f"got {' '.join(columns)!r:.60}. Correct the line."
        )
    if width > 1:
        _check_tag(columns[-1], where)


def _check_tag(tag: Any, where: str) -> None:
    if not is_tag(tag):
        raise InputError(
            f"{where} must have a tag such as O, B-PER or I-PER, got {tag!r:.40}. "
            "Correct it."
        )


def _read_rows(section: Any, path: Path) -> Tagged:
    """Rows of a table, each with a list of words and one of tags: names, or numbers of them."""
    text = load_card(section.card).text
    rows = rename(read_table(path, text), text)
    named, label = section.columns, section.label_column or TAGS
    column = TOKENS if named == ("sentence",) else named[0]
    words = select_column(rows, column, str(path))[column][:]
    tags = None
    if label in rows.column_names:
        feature = rows.features[label]
        names = getattr(getattr(feature, "feature", None), "names", None)
        tags = [
            _named(row, names or section.tag_names, f"{path}: row {number} of {label}")
            for number, row in enumerate(rows[label][:])
        ]
    for number, row in enumerate(words):
        where = f"{path}: row {number}"
        if not isinstance(row, list) or not row or any(map(fault_of_text, row)):
            raise InputError(
                f"{where} of {column} must be a list of words, got {row!r:.40}. "
                "Correct the row."
            )
        if tags is not None and len(tags[number]) != len(row):
            got = f"{len(tags[number])} for {len(row)} words"
            raise InputError(f"{where} must have a tag for each word, got {got}.")
    return Tagged(words, tags, np.arange(len(words)), "row")


def _named(row: Any, names: Any, where: str) -> list[str]:
    """The tags of a row, whose numbers are looked up in names."""
    if not isinstance(row, list):
        raise InputError(
            f"{where} must be a list of tags, got {row!r:.40}. Use .parquet or .jsonl "
            "with lists, or a CoNLL file."
        )
    tags = []
    for tag in row:
        if isinstance(tag, int):
            if not names:
                raise InputError(
                    f"{where} must be names of tags, as data.tag_names is empty, got {tag}. "
                    "List there the tags that numbers stand for."
                )
            if not 0 <= tag < len(names):
                raise InputError(
                    f"{where} must be numbers below {len(names)}, those of data.tag_names, "
                    f"got {tag}. List the names of all tags there."
                )
            tag = names[tag]
        _check_tag(tag, where)
        tags.append(tag)
    return tags


def _tokenise(
    tokenizer: Any, sentences: list[list[str]], length: int
) -> tuple[Tokens, list[Integers], list[Integers]]:
    """(tokens, words with a token, these tokens' places) of sentences, their words joined by spaces."""
    start, end = borders(tokenizer) or (0, 0)
    texts = [" ".join(words) for words in sentences]
    encodings = tokenizer.backend_tokenizer.encode_batch(
        texts, add_special_tokens=False
    )
    rows, read, places, num_long, num_unknown = [], [], [], 0, 0
    for words, encoding in zip(sentences, encodings, strict=True):
        ids = np.array(encoding.ids, dtype=np.int32)
        last = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)[:, 1] - 1
        num_long += len(ids) > length - 2
        num_unknown += int((ids == tokenizer.unk_token_id).sum())
        # A token belongs to the word of its last character: it may begin with the space.
        ends = np.cumsum([len(word) + 1 for word in words]) - 1  # of the space after it
        owners = np.searchsorted(ends, last[: length - 2], side="left")
        owners[np.isin(last[: length - 2], ends)] = len(words)  # a space alone
        firsts, at = np.unique(owners, return_index=True)
        is_word = firsts < len(words)
        read.append(firsts[is_word])
        places.append(at[is_word] + 1)
        rows.append(
            np.concatenate(([start], ids[: length - 2], [end])).astype(np.int32)
        )
    return (
        Tokens(
            np.concatenate(rows),
            np.cumsum([0, *map(len, rows)]),
            None,
            np.arange(len(rows)),
            limit=length,
            num_long=num_long,
            num_tokens=sum(len(encoding.ids) for encoding in encodings),
            num_unknown=num_unknown,
        ),
        read,
        places,
    )
