"""Files with one sequence per row: tables (.csv, .tsv, .jsonl, .parquet), or lines (.txt)."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from r2mae.data.text_tables import check_column, kind_of, read_table
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import GENOME, first_illegal
from r2mae.modalities.dna.genome.files import open_dna

COLUMN = "sequence"


def is_table(path: Path) -> bool:
    """Whether a file's name is that of a table."""
    return kind_of(path) is not None


def is_lines(path: Path) -> bool:
    """Whether a file is .txt with one sequence per line, not FASTA."""
    if not path.name.lower().removesuffix(".gz").endswith(".txt"):
        return False
    with open_dna(path) as file:
        return not file.read(1).startswith(b">")


def read_texts(path: Path) -> list[str]:
    """Sequences of a file with one a line; blank lines are left out."""
    with open_dna(path) as file:
        lines = file.read().decode(errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip()]


def row_codes(path: Path | str, column: str, texts: Iterable[Any]) -> Iterator[bytes]:
    """Codes of each text of a column, with soft masks.

    Raises: InputError for letters that are none, with row and base, and for what is no text.
    """
    for row, text in enumerate(texts):
        if not isinstance(text, str) or not text:
            raise InputError(
                f"{path}: row {row} of {column} must be a sequence, got {text!r:.40}."
            )
        codes = text.encode("ascii", errors="replace").translate(GENOME)
        wrong = first_illegal(codes)
        if wrong >= 0:
            got = f"{text[wrong]!r} at base {wrong + 1:,}"
            raise InputError(
                f"{path}: row {row} of {column} must hold IUPAC letters, got {got}."
            )
        yield codes


def read_rows(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name, codes) of rows, as `read_fasta` gives records: with no bases first. Called FOLDER/FILE/ROW, rows from 0.

    Raises: InputError as `row_codes`, and for damaged files and those without the column.
    """
    if is_lines(path):
        texts: Iterable[Any] = read_texts(path)
    else:
        rows = read_table(path, {})
        check_column(rows.column_names, COLUMN, str(path))
        texts = rows[COLUMN]
    folder = path.absolute().parent.name
    for row, codes in enumerate(row_codes(path, COLUMN, texts)):
        name = f"{folder}/{path.stem}/{row}"
        yield name, b""
        yield name, codes
