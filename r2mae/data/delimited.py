"""Rewrite CSV and TSV files as CSV that all parsers read the same way.

Writers disagree on quotes: in CSV they enclose a field that holds separators or line breaks;
in many TSV files they are plain characters. A stray quote that a parser takes for the start
of a field merges all rows up to the next quote.
"""

import csv
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, NamedTuple

from r2mae.data.bad_rows import BadRows
from r2mae.data.column_types import ColumnTypes
from r2mae.data.text_stream import is_unicode
from r2mae.errors import InputError

OpenText = Callable[[], AbstractContextManager[IO[str]]]
_LONGEST_FIELD = 1 << 30  # characters; the csv module's own limit is 131,072


class Format(NamedTuple):
    """How a delimited file is written.

    quoting: whether quotes enclose fields; None to decide by the content.
    columns: names, for files without a header.
    """

    separator: str
    quoting: bool | None = None
    columns: tuple[str, ...] | None = None


class _Row(NamedTuple):
    """A row of a file, or what is wrong with it. line: its first, from 1."""

    fields: list[str]
    line: int
    num_lines: int
    fault: str
    is_exact: bool  # as many fields as the header


def rewrite(
    open_text: OpenText, form: Format, target: Path, where: Path, bad_rows: BadRows
) -> dict[str, str]:
    """Write a delimited file as CSV with a header and minimal quoting.

    Rows shorter than the header get empty fields. Empty lines are left out.

    Returns: the type of each column, as `datasets.Value` names them.
    Raises: InputError for a header that names a column twice, and for bad rows.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    header = _named(_header(open_text, form, where))
    quoting = form.quoting
    if quoting is None:
        quoting = _has_quoting(open_text, form, len(header))
    number, types = 0, ColumnTypes(header)
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in _rows(open_text, form, len(header), quoting):
            if row.fault:
                at = f"{where}: row {number} (line {row.line})"
                bad_rows.reject(number, f"{at} must {row.fault}.")
            else:
                writer.writerow(row.fields)
                types.add(row.fields)
            number += 1
    return types.types


def _header(open_text: OpenText, form: Format, where: Path) -> list[str]:
    """Names of the columns. Raises: InputError for a duplicate."""
    if form.columns is not None:
        return list(form.columns)
    with open_text() as file:
        reader = _reader(file, form, form.quoting is not False, strict=False)
        names: list[str] = next((row for row in reader if row), [])
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"{where} must name each column once, got {twice!r} twice. Rename one."
        )
    return names


def _named(header: list[str]) -> list[str]:
    """A header whose columns without a name have those that pandas makes up."""
    names = list(header)
    for place, name in enumerate(header):
        if not name:
            made_up = f"Unnamed: {place}"
            numbered = (f"{made_up}.{number}" for number in itertools.count(1))
            candidates = itertools.chain([made_up], numbered)
            names[place] = next(new for new in candidates if new not in names)
    return names


def _has_quoting(open_text: OpenText, form: Format, width: int) -> bool:
    """Whether quotes enclose fields in a file.

    They do not where quotes are misplaced, or enclose line breaks, while every line by
    itself has the header's number of fields.
    """
    bad_lines, has_breaks = 0, False
    for row in _rows(open_text, form, width, quoting=True):
        bad_lines += row.num_lines if row.fault else 0
        has_breaks = has_breaks or row.num_lines > 1
    if not bad_lines and not (has_breaks and width > 1):
        return True
    inexact_lines = bad_plain_lines = 0
    for row in _rows(open_text, form, width, quoting=False):
        inexact_lines += not row.is_exact
        bad_plain_lines += bool(row.fault)
    if not inexact_lines:
        return False
    return bad_lines <= bad_plain_lines


def _rows(
    open_text: OpenText, form: Format, width: int, quoting: bool
) -> Iterator[_Row]:
    """The rows below the header, without empty lines."""
    with open_text() as file:
        reader = _reader(file, form, quoting, strict=quoting)
        is_header = form.columns is None
        while True:
            before = reader.line_num
            try:
                fields, fault = next(reader), ""
            except StopIteration:
                return
            except csv.Error as error:
                fields, fault = [], f"have well-formed quotes, got: {error}"
            is_blank = width > 1 and len(fields) == 1 and not fields[0].strip()
            if not fault and (not fields or is_blank):
                continue
            if is_header:
                is_header = False
                continue
            yield _row(fields, fault, width, before + 1, reader.line_num - before)


def _reader(file: IO[str], form: Format, quoting: bool, strict: bool) -> Any:
    return csv.reader(
        file,
        delimiter=form.separator,
        quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE,
        strict=strict,
    )


def _row(fields: list[str], fault: str, width: int, line: int, num_lines: int) -> _Row:
    """A row filled up to the header's width, without empty fields beyond it."""
    surplus = fields[width:]
    is_exact = not fault and len(fields) - len(surplus) == width and not any(surplus)
    if any(surplus):
        fault = f"have {width} fields as the header, got {len(fields)}"
    elif not fault and not is_unicode("".join(fields)):
        fault = "be in the file's encoding, got bytes that are not"
    filled = fields[:width] + [""] * (width - len(fields))
    return _Row(filled, line, num_lines, fault, is_exact)
