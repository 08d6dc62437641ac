"""Texts as others write them: plain text, JSON lines, CSV, TSV, parquet, hub data sets, in pieces that fit in memory.

A piece is a whole document, or a part of one; where reading stopped is two numbers, so that it can go on there.
"""

import codecs
import csv
import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from r2mae.data.tables import cached_table
from r2mae.errors import InputError, did_you_mean, first_line, is_full_or_forbidden

_KINDS = {
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
_PLAIN = (".txt", ".text", ".md", "")
_MOST_PIECE = (
    1 << 16
)  # characters after which a long document is given on at its next line
_SCAN = 1 << 22


class Piece(NamedTuple):
    """Some of a document, and where the next piece begins: file number, and byte (plain text) or row (tables)."""

    text: str
    is_start: bool
    is_end: bool
    file: int
    at: int


def kind_of(path: Path) -> str | None:
    """What `datasets` calls a table of this name; None for plain text, and for all else."""
    return _KINDS.get(path.suffix.lower())


def expand_texts(patterns: list[str]) -> list[Path]:
    """Files of paths, folders and globs, in order.

    Raises: InputError when there are none, or one is of no known kind.
    """
    paths: list[Path] = []
    for pattern in patterns:
        literal = Path(pattern)  # a[1].txt is a file's name where there is such a file
        matches = (
            [literal]
            if literal.exists()
            else [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]
        )
        inside = [
            file
            for path in matches
            if path.is_dir()
            for file in sorted(path.iterdir())
            if file.is_file()
        ]
        paths += [path for path in matches if path.is_file()]
        paths += [
            path
            for path in inside
            if kind_of(path) is not None or path.suffix.lower() in (".txt", ".text")
        ]
    if not paths:
        raise InputError(
            f"{patterns[0]} must be files of text, or a glob that matches some, got none. Check the path."
        )
    for path in paths:
        if kind_of(path) is None and path.suffix.lower() not in _PLAIN:
            suffixes = ", ".join([*_KINDS, ".txt"])
            raise InputError(
                f"{path} must be of a known kind, got {path.suffix!r}. Known: {suffixes}."
            )
        if path.stat().st_size == 0:
            raise InputError(f"{path} must hold text, got an empty file. Leave it out.")
    return list(dict.fromkeys(paths))


def read_pieces(
    paths: list[Path],
    column: str,
    document: str,
    options: dict[str, Any],
    start: tuple[int, int] = (0, 0),
) -> Iterator[Piece]:
    """Documents of files, from where an earlier reading stopped.

    Raises: InputError for invalid UTF-8 (with its byte), missing columns, rows that are no text.
    """
    for number, path in enumerate(paths):
        at = start[1] if number == start[0] else 0
        if number < start[0]:
            continue
        if kind_of(path) is not None:
            rows = read_table(path, options)
            yield from _rows(rows, str(path), column, number, at)
        else:
            yield from _plain(path, document, _encoding(path, options), number, at)


def check_encoding(name: str) -> None:
    """Raise InputError unless Python reads text of this encoding line by line."""
    try:
        is_supported = "\n".encode(name) == b"\n"
    except LookupError:
        is_supported = False
    if not is_supported:
        raise InputError(
            f"--encoding must be of text whose line ends are one byte, got {name!r}. Convert: iconv -t utf-8."
        )


def _encoding(path: Path, options: dict[str, Any]) -> str:
    """Of a file: one for all, or by the names of those that differ from UTF-8."""
    named: str | dict[str, str] = options.get("encoding", "utf-8")
    return named if isinstance(named, str) else named.get(path.name, "utf-8")


def read_hub(rows: Any, name: str, column: str, start: int = 0) -> Iterator[Piece]:
    """Documents of a data set of `datasets`."""
    yield from _rows(rows, name, column, 0, start)


def _rows(
    rows: Any, name: str, column: str, number: int, start: int
) -> Iterator[Piece]:
    check_column(rows.column_names, column, name)
    for first in range(start, len(rows), 1000):
        for row, text in enumerate(rows[first : first + 1000][column], first):
            if not isinstance(text, str):
                raise InputError(
                    f"{name}: row {row} of {column} must be text, got {type(text).__name__} {text!r:.40}."
                )
            if text.strip():
                yield Piece(text, True, True, number, row + 1)


def _plain(
    path: Path, document: str, encoding: str, number: int, start: int
) -> Iterator[Piece]:
    """A file is one document, or its paragraphs (between empty lines) or its lines are."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if start and start >= size:  # all of it was given before
            return
        file.seek(start)
        held, at, is_start = "", start, start == 0 or document != "file"
        for raw in file:
            try:
                line = raw.decode(encoding)
            except UnicodeDecodeError as error:
                byte = f"byte 0x{raw[error.start]:02x} at offset {at + error.start:,}"
                raise InputError(
                    f"{path} must be {encoding.upper()}, got {byte}. "
                    "Convert it: iconv -f latin1 -t utf-8, or name its encoding."
                ) from None
            line = line.removeprefix("\ufeff") if at == 0 else line
            at += len(raw)
            if document == "line" or (document == "paragraph" and not line.strip()):
                text = held if document == "paragraph" else line.rstrip("\r\n")
                if text.strip():
                    yield Piece(text, True, True, number, at)
                held = ""
                continue
            held += line
            if len(held) > _MOST_PIECE and document == "file" and at < size:
                yield Piece(held, is_start, False, number, at)
                held, is_start = "", False
        if held.strip() or not is_start:
            yield Piece(held, is_start, True, number, size)


def read_table(path: Path, options: dict[str, Any]) -> Any:
    """Rows of a table, mapped from disk by `datasets`.

    Raises: InputError for invalid UTF-8, and for what cannot be read as what its name says.
    """
    import datasets

    kind = kind_of(path)
    assert kind is not None
    if kind != "parquet":
        check_utf8(path)
    reader_options = _csv_options(path, options) if kind == "csv" else {}
    datasets.disable_progress_bars()
    # Failures are reported in our line.
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        return cached_table(kind, [path], reader_options)
    except Exception as error:
        if "corresponds to no data" in str(error):
            raise InputError(
                f"{path} must hold rows, got none. Leave it out."
            ) from None
        cause = error.__cause__ or error
        if is_full_or_forbidden(cause) and cause.filename != str(path):
            raise cause from None  # of the cache
        raise InputError(
            f"{path} must be readable as {kind}, got: {first_line(cause)}."
        ) from None


def _csv_options(path: Path, options: dict[str, Any]) -> dict[str, Any]:
    """How pandas is to read a CSV. Raises: InputError for a header that has a name twice."""
    separator = str(
        options.get("separator", "\t" if path.suffix.lower() == ".tsv" else ",")
    )
    # Fields beyond the header's must not shift the columns; "NA" and "null" are words, only nothing is nothing.
    settings: dict[str, Any] = {
        "index_col": False,
        "sep": separator,
        "keep_default_na": False,
        "na_values": [""],
    }
    quoting = csv.QUOTE_MINIMAL if options.get("quoting", True) else csv.QUOTE_NONE
    if "columns" in options:
        return settings | {
            "quoting": quoting,
            "column_names": list(options["columns"]),
            "header": None,
        }
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file, delimiter=separator, quoting=quoting), [])  # type: ignore[arg-type]
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"{path} must name each column once, got {twice!r} twice. Rename one."
        )
    return settings | {"quoting": quoting}


def check_utf8(path: Path) -> None:
    """Raise InputError naming the first byte that is no UTF-8; constant memory."""
    decoder, at = codecs.getincrementaldecoder("utf-8")(), 0
    with path.open("rb") as file:
        while block := file.read(_SCAN):
            held = len(decoder.getstate()[0])
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                offset = at - held + error.start
                raise InputError(
                    f"{path} must be UTF-8, got byte 0x{byte:02x} at offset {offset:,}."
                ) from None
            at += len(block)


def check_unicode(text: str, where: str) -> None:
    """Raise InputError for halves of surrogate pairs, which have no UTF-8 and no tokens."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where} must be Unicode, got {text[error.start]!r} at {error.start:,}."
        ) from None


def check_column(names: list[str], column: str, where: str) -> None:
    """Raise InputError unless column is one of names."""
    if column not in names:
        raise InputError(
            f"{where} must have the column {column!r}, got {', '.join(names)}. {did_you_mean(column, names)}"
        )
