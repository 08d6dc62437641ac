"""Alignments as others write them: blocks of MAF, records of aligned FASTA."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import (
    ALIGNED,
    GAP,
    SOFT_ALIGNED,
    Codes,
    first_illegal,
    reverse_complement,
)
from r2mae.modalities.dna.genome.files import Heard, open_dna, read_fasta, read_lines

_CUT = "The file may be cut off: fetch it again."
_OTHER_LINES = (
    b"#",
    b"i",
    b"e",
    b"q",
    b"t",
)  # comments, details of blocks, and the browser's track line


class Row(NamedTuple):
    """A line of a block: which sequence, where in it, and its letters with gaps."""

    line: int
    source: bytes
    start: int
    size: int
    strand: bytes
    source_size: int
    text: bytes


def is_fasta(path: Path) -> bool:
    """Whether a file begins as FASTA does."""
    with open_dna(path) as file:
        while block := file.read(1 << 12):
            if block.strip():
                return block.lstrip().startswith(b">")
    return False


def read_maf(path: Path, progress: Heard = lambda _: None) -> Iterator[list[Row]]:
    """Blocks in order, each with a row or more.

    Raises: InputError for lines that are no MAF, rows cut off, and rows of one block that differ in length.
    """
    for lines in _blocks(path, progress):
        rows = [maf_row(path, number, line) for number, line in lines]
        width = len(rows[0].text)
        for row in rows:
            if len(row.text) != width:
                raise InputError(
                    f"{path}: line {row.line}: row {row.source.decode()} must have {width:,} letters, "
                    f"as its block has, got {len(row.text):,}. {_CUT}"
                )
        yield rows


def scan_maf(
    path: Path, progress: Heard = lambda _: None
) -> Iterator[tuple[list[bytes], list[tuple[int, bytes]]]]:
    """(sources, lines) of blocks in order, all that is wanted before reading them: several times as fast."""
    for lines in _blocks(path, progress):
        words = [line.split(None, 2) for _, line in lines]
        if min(map(len, words)) < 3:
            for number, line in lines:
                maf_row(path, number, line)
        yield [found[1] for found in words], lines


def _blocks(path: Path, progress: Heard) -> Iterator[list[tuple[int, bytes]]]:
    """Numbered lines of the rows of blocks."""
    rows: list[tuple[int, bytes]] = []
    is_open, is_maf, number = False, False, 0
    with open_dna(path, progress) as file:
        for number, line in read_lines(path, file):
            kind = line[:1]
            if kind == b"s":
                rows.append((number, line))
            elif kind == b"a" or not line.strip():
                if is_open or rows:
                    yield _closed(path, number, is_open, rows)
                is_open, is_maf, rows = kind == b"a", is_maf or kind == b"a", []
            elif kind not in _OTHER_LINES:
                raise InputError(
                    f"{path}: line {number} must be one of MAF's, got {line[:30]!r}."
                )
        if is_open or rows:
            yield _closed(path, number, is_open, rows)
    if not is_maf:
        raise InputError(
            f"{path} must hold blocks of MAF, or records of FASTA, got neither."
        )


def _closed(
    path: Path, number: int, is_open: bool, rows: list[tuple[int, bytes]]
) -> list[tuple[int, bytes]]:
    if not is_open:
        raise InputError(
            f"{path}: line {rows[0][0]} must follow a line of 'a', got a row outside a block."
        )
    if not rows:
        raise InputError(
            f"{path}: the block before line {number} must have rows, got none. {_CUT}"
        )
    return rows


def maf_row(path: Path, number: int, line: bytes) -> Row:
    """The row of a line. Raises: InputError for one that is cut off, or lies outside its sequence."""
    words = line.split()
    try:
        _, source, start, size, strand, source_size, text = words
        row = Row(number, source, int(start), int(size), strand, int(source_size), text)
    except ValueError:
        raise InputError(
            f"{path}: line {number} must be s, source, start, size, strand, source size, letters, "
            f"got {len(words)} words: {line[:40]!r}. {_CUT}"
        ) from None
    bases = len(text) - text.count(b"-")
    if bases != row.size:
        bases -= text.count(b".")
    if bases != row.size:
        raise InputError(
            f"{path}: line {number}: row {source.decode()} must have {row.size:,} bases, as its size says, "
            f"got {bases:,}. {_CUT}"
        )
    if (
        strand not in (b"+", b"-")
        or not 0 <= row.start <= row.start + row.size <= row.source_size
    ):
        raise InputError(
            f"{path}: line {number}: row {source.decode()} must lie on strand + or - within {row.source_size:,} bases, "
            f"got {strand.decode()} {row.start:,} to {row.start + row.size:,}."
        )
    return row


def block_codes(
    path: Path, reference: Row, others: list[Row]
) -> tuple[int, Codes, Codes]:
    """(where it starts on the reference's forward strand, reference (n,) with soft masks, others (R, n)).

    Columns are the reference's bases, in its forward order.
    Raises: InputError for letters that are none.
    """
    letters = reference.text.translate(SOFT_ALIGNED) + b"".join(
        row.text for row in others
    ).translate(ALIGNED)
    width = len(reference.text)
    if (wrong := first_illegal(letters)) >= 0:
        row = (reference, *others)[wrong // width]
        letter = chr(row.text[wrong % width])
        raise InputError(
            f"{path}: line {row.line}: row {row.source.decode()} must hold IUPAC letters, "
            f"got {letter!r} at column {wrong % width + 1:,}."
        )
    codes: Codes = np.frombuffer(letters, dtype=np.uint8).reshape(
        1 + len(others), width
    )
    if reference.size != width:
        codes = codes[:, codes[0] != GAP]
    start = reference.start
    if reference.strand == b"-":
        codes = reverse_complement(codes)
        start = reference.source_size - start - reference.size
    return start, codes[0], codes[1:]


class Records(NamedTuple):
    """An aligned FASTA, as letters in a file (R, columns) beside its records' names."""

    path: Path
    names: list[str]
    rows: Path
    columns: int

    def codes(self) -> npt.NDArray[Any]:
        """(R, columns) codes with soft masks, mapped."""
        return np.memmap(
            self.rows, dtype=np.uint8, mode="r", shape=(len(self.names), self.columns)
        )


def read_records(path: Path, rows: Path, progress: Heard = lambda _: None) -> Records:
    """Records of an aligned FASTA, put into the file `rows`.

    Raises: InputError for damaged files, names that come twice and records that differ in length.
    """
    names: list[str] = []
    sizes: list[int] = []
    with rows.open("wb") as file:
        for name, codes in read_fasta(path, SOFT_ALIGNED, progress):
            if not codes:
                if name in names:
                    raise InputError(
                        f"{path}: record {name} must be named once, got it twice. Rename one."
                    )
                names.append(name)
                sizes.append(0)
            sizes[-1] += len(codes)
            file.write(codes)
    for name, size in zip(names, sizes, strict=True):
        if size != sizes[0] or not size:
            wanted = (
                f"{sizes[0]:,} columns, as {names[0]} has" if sizes[0] else "columns"
            )
            raise InputError(
                f"{path}: record {name} must have {wanted}, got {size:,}. Align the records first."
            )
    if len(names) < 2:
        raise InputError(
            f"{path} must hold two aligned records at least, got {len(names)}."
        )
    return Records(path, names, rows, sizes[0])
