"""Texts as others write them: plain text, JSON lines, CSV, TSV, parquet, Arrow, hub data sets.

They are read in pieces that fit in memory. A piece is a document or a part of one. Reading
resumes at a file's number and a place in it.
"""

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from r2mae.data.bad_rows import BadRows
from r2mae.data.folder_files import check_link, list_files
from r2mae.data.text_stream import (
    COMPRESSED,
    decoded_blocks,
    find_encoding,
    is_unicode,
    suffix_of,
)
from r2mae.data.text_tables import (
    BUILDERS,
    encoding_named,
    kind_of,
    read_table,
    select_column,
)
from r2mae.errors import InputError

_TEXT = (".txt", ".text")
_PLAIN = (*_TEXT, ".md", "")
# Written by `datasets` beside its Arrow files.
_NO_TABLES = ("dataset_info.json", "dataset_dict.json", "state.json")
_RUN = "run.json"  # of a run's folder
_ROWS = 100  # read together
MOST_PIECE = 1 << 16  # characters of a piece; longer documents come in several


class Piece(NamedTuple):
    """A document, or a part of one.

    file: its number. at: where the next piece begins, in bytes of plain text or rows of a
        table; None where reading cannot resume after this piece.
    """

    text: str
    is_start: bool
    is_end: bool
    file: int
    at: int | None


def expand_texts(patterns: list[str]) -> list[Path]:
    """Files of paths, folders with all folders below them, and globs, in order.

    Raises: InputError when there are none, or for one that is neither text nor a table.
    """
    paths: list[Path] = []
    for pattern in patterns:
        literal = Path(pattern)  # a[1].txt is a file's name where there is such a file
        matches = [literal]
        if not literal.exists():
            matches = [
                Path(path) for path in sorted(glob.glob(pattern, recursive=True))
            ]
        for path in matches:
            paths += files_below(path) if path.is_dir() else [path]
    if not paths:
        raise InputError(
            f"{patterns[0]} must be files of text, or a glob that matches some, got none. Check the path."
        )
    for path in paths:
        if kind_of(path) is None and suffix_of(path) not in _PLAIN:
            suffixes = ", ".join([*BUILDERS, ".txt"])
            raise InputError(
                f"{path} must be of a known kind, got {path.suffix!r}. "
                f"Known: {suffixes}, also with {' or '.join(COMPRESSED)}."
            )
        if path.stat().st_size == 0:
            raise InputError(f"{path} must hold text, got an empty file. Leave it out.")
    return list(dict.fromkeys(paths))


def files_below(folder: Path) -> list[Path]:
    """Texts and tables in a folder and those below it, each once, without runs."""
    files = list_files(folder, is_excluded=lambda names: _RUN in names)
    texts = [check_link(path) for path in files if _is_text_or_table(path)]
    # Links may lead to the same file twice.
    by_real_path = {
        os.path.realpath(path): path for path in sorted(texts, reverse=True)
    }
    return sorted(by_real_path.values())


def _is_text_or_table(path: Path) -> bool:
    if path.name in _NO_TABLES:
        return False
    return kind_of(path) is not None or suffix_of(path) in _TEXT


def read_pieces(
    paths: list[Path],
    column: str,
    document: str,
    options: dict[str, Any],
    start: tuple[int, int] = (0, 0),
    bad_rows: BadRows | None = None,
) -> Iterator[Piece]:
    """Documents of files, from where an earlier reading stopped.

    Raises: InputError for bytes that are not of the encoding, missing columns, rows that
        are not text, and a table of which more than half of the rows are to be skipped.
    """
    bad_rows = bad_rows or BadRows()
    for number, path in enumerate(paths):
        at = start[1] if number == start[0] else 0
        if number < start[0]:
            continue
        if kind_of(path) is not None:
            malformed = BadRows(skip=bad_rows.skip, remedy=bad_rows.remedy)
            rows = read_table(path, options, malformed)
            if at == 0:  # counted when a file is begun, not when it is resumed
                bad_rows.add(malformed)
            name = str(path)
            yield from read_rows(rows, name, column, bad_rows, number, at, malformed)
        else:
            encoding = encoding_named(path, options)
            yield from _plain(path, document, encoding, number, at)


def read_rows(
    rows: Any,
    name: str,
    column: str,
    bad_rows: BadRows,
    number: int = 0,
    start: int = 0,
    malformed: BadRows | None = None,
) -> Iterator[Piece]:
    """Documents of a data set of `datasets`, from row `start` on.

    number: of the file. malformed: its rows that were left out before.

    Raises: InputError for rows that are not text, or more than half of them.
    """
    texts = select_column(rows, column, name).select_columns([column])
    if bad_rows.skip:
        _check_few_bad(texts, column, name, malformed)
    for row, text, fault in _checked_rows(texts, column, name, start):
        if fault:
            bad_rows.reject(row, fault)
        elif text.strip():
            size = 0
            for part in split_text(text):
                is_start, size = size == 0, size + len(part)
                is_end = size == len(text)
                # Reading resumes at a row, never inside one.
                yield Piece(part, is_start, is_end, number, row + 1 if is_end else None)


def _check_few_bad(
    texts: Any, column: str, name: str, malformed: BadRows | None
) -> None:
    """Raise InputError where more than half of a table's rows are bad, before any is used."""
    own = BadRows(skip=True)
    if malformed is not None:
        own.add(malformed)
    total = len(texts) + len(own.numbers)
    for row, _, fault in _checked_rows(texts, column, name):
        if fault:
            own.reject(row, fault)
    own.check_few(total, name)


def _checked_rows(
    texts: Any, column: str, name: str, start: int = 0
) -> Iterator[tuple[int, Any, str]]:
    """(row, text, what is wrong with it or "") from row `start` on."""
    for first in range(start, len(texts), _ROWS):
        for row, text in enumerate(texts[first : first + _ROWS][column], first):
            fault = fault_of_text(text)
            rule = f"{name}: row {row} of {column} must {fault}."
            yield row, text, rule if fault else ""


def fault_of_text(text: Any) -> str:
    """Which rule a value of a column of texts breaks; empty for a text."""
    if not isinstance(text, str):
        return f"be text, got {type(text).__name__} {text!r:.40}"
    if not is_unicode(text):
        return f"be Unicode, got half a surrogate pair {text!r:.40}"
    return ""


def split_text(text: str) -> Iterator[str]:
    """Parts of at most MOST_PIECE characters, cut before white space where there is any.

    A tokenizer takes over 100 bytes for each byte of a text.
    """
    start = 0
    while len(text) - start > MOST_PIECE:
        end = _last_break(text, start, start + MOST_PIECE)
        yield text[start:end]
        start = end
    yield text[start:]


def _last_break(text: str, start: int, end: int) -> int:
    """After the last line break, else before the last space, else the end."""
    after_line = text.rfind("\n", start, end) + 1
    space = text.rfind(" ", start + 1, end)
    return after_line or (space if space > start else end)


def _plain(
    path: Path, document: str, encoding: str, number: int, start: int
) -> Iterator[Piece]:
    """A file is one document, or its paragraphs (between empty lines) or its lines are."""
    held, at, is_start = "", start, start == 0 or document != "file"
    is_line_start = True
    for part, after, is_line_end in _line_parts(path, encoding, start):
        is_blank = is_line_start and is_line_end and not part.strip()
        is_separator = document == "paragraph" and is_blank
        is_line_start = is_line_end
        if held and not is_separator and len(held) + len(part) > MOST_PIECE:
            # Reading resumes inside a document only where a file is one.
            place = at if document == "file" else None
            yield Piece(held, is_start, False, number, place)
            held, is_start = "", False
        at = after
        held += "" if is_separator else part
        if is_separator or (document == "line" and is_line_end):
            text = held.rstrip("\r\n") if document == "line" else held
            if text.strip() or not is_start:
                yield Piece(text, is_start, True, number, at)
            held, is_start = "", True
    if held.strip() or (held and not is_start):
        yield Piece(held, is_start, True, number, at)


def _line_parts(
    path: Path, encoding: str, start: int
) -> Iterator[tuple[str, int, bool]]:
    """(part of a line, byte of the file after it, whether the line ends with it).

    Line ends of Windows become plain ones, as in texts that are embedded.
    """
    rest, at = "", max(start, find_encoding(path, encoding)[1])
    for block, block_encoding in decoded_blocks(path, encoding, start):
        *lines, rest = (rest + block).split("\n")
        for line in lines:
            plain = line.removesuffix("\r")
            *parts, last = split_text(f"{plain}\n")
            for part in parts:
                at += len(part.encode(block_encoding))
                yield part, at, False
            ending = "\r" if plain != line else ""
            at += len(f"{last}{ending}".encode(block_encoding))
            yield last, at, True
        *parts, rest = split_text(rest)
        for part in parts:
            at += len(part.encode(block_encoding))
            yield part, at, False
        encoding = block_encoding
    if rest:
        yield rest, at + len(rest.encode(encoding)), True
