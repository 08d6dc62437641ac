"""Files of labelled sequences: tables, or FASTA with the label at the end of a header."""

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from r2mae.data.card import load_card
from r2mae.data.labels import LabelColumn, class_numbers, columns_of, real_numbers
from r2mae.data.mapped import Integers
from r2mae.data.text_tables import check_column, read_table
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import GENOME, PLAIN
from r2mae.modalities.dna.genome.files import read_fasta
from r2mae.modalities.dna.sequences.tables import (
    COLUMN,
    is_lines,
    is_table,
    read_texts,
    row_codes,
)

# For bytes.translate: codes without soft masks.
NO_SOFT_MASK = bytes(code if code > 15 else code & PLAIN for code in range(256))
_FASTA = (".fa", ".fasta", ".fna")


class SequenceFile(NamedTuple):
    """The content of a file of N sequences.

    codes: of each sequence. labels: (N,) class numbers, or None. targets: (N,) numbers
    for regression, or None. class_names: by number. names: of FASTA records, or None.
    empty: FASTA records without bases, which are left out.
    """

    codes: list[bytes]
    labels: Integers | None
    targets: npt.NDArray[np.float32] | None
    class_names: dict[int, str]
    names: list[str] | None
    empty: int = 0


def is_fasta(path: Path) -> bool:
    """Whether a file's name is that of a FASTA file."""
    return path.name.lower().removesuffix(".gz").endswith(_FASTA)


def is_sequence_file(path: Path) -> bool:
    """Whether a file's name is that of FASTA, a table, or plain lines."""
    return is_fasta(path) or is_table(path) or is_lines(path)


def read_sequence_file(
    section: Any, path: Path, label: LabelColumn | None, *, regression: bool = False
) -> SequenceFile:
    """All sequences of a file, with the labels of the column `label` where there is one.

    section: data section of a recipe. regression: labels are numbers, not classes.
    Raises: InputError for damaged files, missing columns and files without sequences.
    """
    if is_lines(path):
        if label is not None:
            raise InputError(
                f"{path} must have labels, got lines of sequences alone. Use a table."
            )
        codes = list(row_codes(path, "the lines", read_texts(path)))
        plain = [sequence.translate(NO_SOFT_MASK) for sequence in codes]
        return SequenceFile(_not_empty(path, plain), None, None, {}, None)
    if is_fasta(path):
        rows: Any = _Records(path)
        column, label = COLUMN, label and "label"
    else:
        rows = read_table(path, load_card(section.card).text)
        column = getattr(section, "column", COLUMN)
    for name in (column, *columns_of(label)):
        check_column(rows.column_names, name, str(path))
    is_record = isinstance(rows, _Records)
    sequences = rows.codes if is_record else row_codes(path, column, rows[column])
    codes = [sequence.translate(NO_SOFT_MASK) for sequence in sequences]
    _not_empty(path, codes)
    names = getattr(rows, "names", None)
    empty = getattr(rows, "empty", 0)
    if label is None:
        return SequenceFile(codes, None, None, {}, names, empty)
    if regression:
        assert isinstance(label, str)
        numbers = [_number(value) for value in rows[label]]
        targets = real_numbers(numbers, label, str(path))
        return SequenceFile(codes, None, targets, {}, names, empty)
    labels, class_names = class_numbers(rows, label, str(path))
    return SequenceFile(codes, labels, None, class_names, names, empty)


def _not_empty(path: Path, codes: list[bytes]) -> list[bytes]:
    if not codes:
        raise InputError(f"{path} must hold sequences, got none.")
    return codes


def _number(value: Any) -> Any:
    """A number where a label of a FASTA header is one."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


class _Records:
    """Records of a FASTA file as a table: codes and label, the last of a header's fields."""

    column_names = (COLUMN, "label")
    features: dict[str, Any] = {"label": None}  # noqa: RUF012 - never changed

    def __init__(self, path: Path) -> None:
        headers: list[str] = []
        parts: list[list[bytes]] = []
        for header, codes in read_fasta(path, GENOME, whole_header=True):
            if codes:
                parts[-1].append(codes)
            else:  # a record begins
                headers.append(header)
                parts.append([])
        if not headers:
            raise InputError(
                f"{path} must begin with '>', as FASTA does, got no record."
            )
        self.empty = sum(not codes for codes in parts)
        headers = list(itertools.compress(headers, parts))
        self.names = [header.split()[0] for header in headers]
        self.codes = [b"".join(codes) for codes in parts if codes]
        self.labels = [_last_field(header) for header in headers]

    def __getitem__(self, column: str) -> list[str | None]:
        assert column == "label"
        return self.labels


def _last_field(header: str) -> str | None:
    """The label of a header; None where it holds a name alone."""
    fields = header.split()
    return fields[-1] if len(fields) > 1 else None
