"""Read blocks of MAF."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import (
    ALIGNED,
    GAP,
    SOFT_ALIGNED,
    SOFT_MASK,
    Codes,
    first_illegal,
    reverse_complement,
)
from r2mae.modalities.dna.genome.files import OnRead, open_dna, read_lines

_LETTERS = bytes(code for code in range(256) if ALIGNED[code] < SOFT_MASK)
Line = tuple[int, bytes]  # with its number
_TRUNCATED = "The file may be truncated: download it again."
# Comments, details of blocks, and the browser's track line.
_OTHER_LINES = (b"#", b"i", b"e", b"q", b"t")


class Row(NamedTuple):
    """An s line of a MAF block, with its line number; start and size as in MAF."""

    line: int
    source: bytes
    start: int
    size: int
    strand: bytes
    source_size: int
    text: bytes


def read_maf(
    path: Path, progress: OnRead = lambda _: None
) -> Iterator[tuple[list[bytes], list[Line]]]:
    """(sources, s lines) of each block, in order. Lines are parsed by `parse_row`.

    Raises: InputError for lines that are not MAF.
    """
    for lines in _blocks(path, progress):
        rows = [line.split(None, 2) for _, line in lines]
        if min(map(len, rows)) < 2:
            for number, line in lines:
                parse_row(path, number, line)  # raises for the one without a source
        yield [fields[1] for fields in rows], lines


def _blocks(path: Path, progress: OnRead) -> Iterator[list[tuple[int, bytes]]]:
    """The numbered s lines of each block."""
    rows: list[tuple[int, bytes]] = []
    is_open, is_maf, number = False, False, 0
    with open_dna(path, progress) as file:
        for number, line in read_lines(path, file):
            letter = line[:1]
            if letter == b"s":
                rows.append((number, line))
            elif letter == b"a" or not line.strip():
                if is_open or rows:
                    yield _checked_block(path, number, is_open, rows)
                is_open, rows = letter == b"a", []
                is_maf = is_maf or is_open
            elif letter not in _OTHER_LINES:
                raise InputError(
                    f"{path}: line {number} must be a line of MAF, got {line[:30]!r}."
                )
        if is_open or rows:
            yield _checked_block(path, number, is_open, rows)
    if not is_maf:
        raise InputError(f"{path} must be MAF or aligned FASTA, got neither.")


def _checked_block(
    path: Path, number: int, is_open: bool, rows: list[tuple[int, bytes]]
) -> list[tuple[int, bytes]]:
    if not is_open:
        raise InputError(
            f"{path}: line {rows[0][0]} must follow an 'a' line, got a row outside a block."
        )
    if not rows:
        raise InputError(
            f"{path}: the block before line {number} must have rows, got none. {_TRUNCATED}"
        )
    return rows


def parse_row(path: Path, number: int, line: bytes, width: int | None = None) -> Row:
    """Parse an s line.

    width: columns of its block, where they are known.
    Raises: InputError for truncated lines, rows outside their sequence, and letters that
        are no IUPAC letter or gap.
    """
    fields = line.split()
    try:
        _, source, start, size, strand, source_size, text = fields
        row = Row(number, source, int(start), int(size), strand, int(source_size), text)
    except ValueError:
        raise InputError(
            f"{path}: line {number} must be s, source, start, size, strand, source size, "
            f"letters, got {len(fields)} fields: {line[:40]!r}. {_TRUNCATED}"
        ) from None
    if fault := _fault(row, width):
        name = source.decode(errors="backslashreplace")
        raise InputError(f"{path}: line {number}: row {name} must {fault}")
    return row


def parse_others(path: Path, lines: list[Line], width: int) -> tuple[list[Row], str]:
    """(rows of the other species, error of the first malformed one, "" for none).

    Malformed rows are left out: a fault in one of hundreds of species is no reason to
    refuse an alignment.

    Raises: InputError for a malformed last line without a line end, since the file is
        probably truncated.
    """
    rows, first_fault = [], ""
    for number, line in lines:
        try:
            rows.append(parse_row(path, number, line, width))
        except InputError as fault:
            if not line.endswith(b"\n"):
                raise
            first_fault = first_fault or str(fault)
    return rows, first_fault


def _fault(row: Row, width: int | None) -> str:
    """Which rule a row breaks, as the end of a message; "" for none."""
    bases = len(row.text) - row.text.count(b"-")
    if bases != row.size:
        bases -= row.text.count(b".")
    if bases != row.size:
        return f"have {row.size:,} bases, its size, got {bases:,}. {_TRUNCATED}"
    if width not in (None, len(row.text)):
        columns = f"{width:,} columns, as its block has"
        return f"have {columns}, got {len(row.text):,}. {_TRUNCATED}"
    stop = row.start + row.size
    if row.strand not in (b"+", b"-") or not 0 <= row.start <= stop <= row.source_size:
        return (
            f"lie on strand + or - within {row.source_size:,} bases, "
            f"got {row.strand.decode(errors='replace')} {row.start:,} to {stop:,}."
        )
    if row.text.translate(None, _LETTERS):
        wrong = first_illegal(row.text.translate(ALIGNED))
        letter = chr(row.text[wrong])
        return f"hold IUPAC letters, got {letter!r} at column {wrong + 1:,}."
    return ""


def block_codes(reference: Row, others: list[Row]) -> tuple[int, Codes, Codes]:
    """(start on the forward strand, reference (n,) with soft masks, others (R, n)).

    Columns without a base of the reference are dropped; the rest are in forward order.
    """
    texts = b"".join(row.text for row in others)
    letters = reference.text.translate(SOFT_ALIGNED) + texts.translate(ALIGNED)
    width = len(reference.text)
    codes: Codes = np.frombuffer(letters, dtype=np.uint8).reshape(-1, width)
    if reference.size != width:
        codes = codes[:, codes[0] != GAP]
    start = reference.start
    if reference.strand == b"-":
        codes = reverse_complement(codes)
        start = reference.source_size - start - reference.size
    return start, codes[0], codes[1:]
