"""Texts of files that a user names, for `embed` and `predict`."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from r2mae.data.bad_rows import SKIP_OPTION, BadRows
from r2mae.data.card import load_card
from r2mae.data.source import SampleSource
from r2mae.data.text_files import expand_texts, files_below
from r2mae.data.text_stream import check_text, open_text
from r2mae.data.text_tables import kind_of, read_table, rename
from r2mae.errors import InputError
from r2mae.modalities.language.sentences import (
    Table,
    fault_of,
    read_columns,
    text_columns,
    tokenised,
)
from r2mae.modalities.language.tokenise import LongTexts


class Reading(NamedTuple):
    """How texts are read.

    column: of a table, instead of the recipe's. skip_bad_rows: leave out rows without text.
    """

    column: str | None = None
    long_texts: LongTexts = "cut"
    skip_bad_rows: bool = False


def open_given_texts(section: Any, path: str, reading: Reading) -> SampleSource:
    """All texts that a user names: files of a folder, lines of a .txt, or rows of a table.

    Raises: InputError for a file without the run's columns, and for bad rows.
    """
    place = Path(path)
    files = files_below(place) if place.is_dir() else []
    if files and not any(map(kind_of, files)):
        _check_columns(section, f"{path}, a text a file")
        table = _read_folder(place, files, skip=reading.skip_bad_rows)
        return tokenised(section, table, path, reading.long_texts)
    files = expand_texts([path])
    if len(files) > 1:
        raise InputError(
            f"DATA must be one file, or a folder of .txt files alone, got {len(files)} "
            f"files in {path}. Name a .txt with a text a line, or a table with a text a row."
        )
    (file,) = files
    bad_rows = BadRows(skip=reading.skip_bad_rows, remedy=SKIP_OPTION)
    if kind_of(file) is None:
        _check_columns(section, f"{file}, a text a line")
        table = _read_lines(file, bad_rows)
        return tokenised(section, table, str(file), reading.long_texts, unit="line")
    if reading.column is not None:
        _check_columns(section, f"--column {reading.column}")
        update = {"column": reading.column, "columns": (reading.column,)}
        section = section.model_copy(update=update)
    text = load_card(section.card).text
    rows = rename(read_table(file, text, bad_rows), text)
    table = read_columns(text_columns(section), rows, str(file), bad_rows)
    return tokenised(section, table, str(file), reading.long_texts)


def _check_columns(section: Any, got: str) -> None:
    """Raise InputError for a run on pairs of texts, which are in tables with its columns."""
    columns = text_columns(section)
    if len(columns) > 1:
        raise InputError(
            f"DATA must be a table with the columns {' and '.join(columns)}, as the run "
            f"was fine-tuned on pairs of texts, got {got}."
        )


def _read_folder(folder: Path, files: list[Path], *, skip: bool) -> Table:
    """A text a file; files without text are bad rows."""
    bad_rows = BadRows(skip=skip, remedy=SKIP_OPTION, noun="file")
    texts, kept = [], []
    for number, file in enumerate(files):
        try:
            text = _read_text(file)
        except InputError as error:  # in another encoding, or damaged
            bad_rows.reject(number, str(error))
            continue
        if fault := fault_of(text):
            bad_rows.reject(number, f"{file} must {fault}.")
            continue
        texts.append(text)
        kept.append(number)
    bad_rows.check_few(len(files), str(folder))
    numbers = np.array(kept, dtype=np.int64)
    return Table([texts], numbers, bad_rows.note, tuple(files[n] for n in kept))


def _read_lines(file: Path, bad_rows: BadRows) -> Table:
    """A text a line; empty lines are bad rows."""
    lines = _read_text(file).split("\n")
    rule = "be text, got nothing. Rows of the result are named by lines"
    kept = [number for number, line in enumerate(lines, 1) if line.strip()]
    for number in sorted(set(range(1, len(lines) + 1)) - set(kept)):
        bad_rows.reject(number, f"{file}: line {number} must {rule}.")
    if not kept:
        raise InputError(
            f"{file} must hold texts, got empty lines alone. Leave it out."
        )
    texts = [lines[number - 1] for number in kept]
    return Table([texts], np.array(kept, dtype=np.int64), bad_rows.note)


def _read_text(file: Path) -> str:
    """The text of a file, without the end of its last line."""
    check_text(file)
    with open_text(file, "utf-8") as opened:
        return opened.read().replace("\r\n", "\n").removesuffix("\n")
