"""Read alignments: blocks of MAF, records of aligned FASTA."""

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
from r2mae.modalities.dna.genome.files import OnRead, open_dna, read_fasta, read_lines

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


def is_fasta(path: Path) -> bool:
    """Whether a file begins with '>', as FASTA does."""
    with open_dna(path) as file:
        while block := file.read(1 << 12):
            if block.strip():
                return block.lstrip().startswith(b">")
    return False


def read_maf(path: Path, progress: OnRead = lambda _: None) -> Iterator[list[Row]]:
    """The rows of each block, in order.

    Raises: InputError for lines that are not MAF, truncated rows, and blocks whose rows
        differ in length.
    """
    for lines in _blocks(path, progress):
        rows = [maf_row(path, number, line) for number, line in lines]
        width = len(rows[0].text)
        for row in rows:
            if len(row.text) != width:
                raise InputError(
                    f"{path}: line {row.line}: row {row.source.decode()} must have "
                    f"{width:,} columns, as its block has, got {len(row.text):,}. "
                    f"{_TRUNCATED}"
                )
        yield rows


def scan_maf(
    path: Path, progress: OnRead = lambda _: None
) -> Iterator[tuple[list[bytes], list[tuple[int, bytes]]]]:
    """(sources, numbered lines) of each block; several times as fast as `read_maf`."""
    for lines in _blocks(path, progress):
        rows = [line.split(None, 2) for _, line in lines]
        if min(map(len, rows)) < 3:
            for number, line in lines:
                maf_row(path, number, line)  # raises for the incomplete one
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


def maf_row(path: Path, number: int, line: bytes) -> Row:
    """Parse an s line.

    Raises: InputError for truncated lines and rows outside their sequence.
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
    bases = len(text) - text.count(b"-")
    if bases != row.size:
        bases -= text.count(b".")
    if bases != row.size:
        raise InputError(
            f"{path}: line {number}: row {source.decode()} must have {row.size:,} bases, "
            f"its size, got {bases:,}. {_TRUNCATED}"
        )
    if (
        strand not in (b"+", b"-")
        or not 0 <= row.start <= row.start + row.size <= row.source_size
    ):
        raise InputError(
            f"{path}: line {number}: row {source.decode()} must lie on strand + or - "
            f"within {row.source_size:,} bases, "
            f"got {strand.decode()} {row.start:,} to {row.start + row.size:,}."
        )
    return row


def block_codes(
    path: Path, reference: Row, others: list[Row]
) -> tuple[int, Codes, Codes]:
    """(start on the forward strand, reference (n,) with soft masks, others (R, n)).

    Columns without a base of the reference are dropped; the rest are in forward order.
    Raises: InputError for characters that are no IUPAC letter or gap.
    """
    letters = reference.text.translate(SOFT_ALIGNED) + b"".join(
        row.text for row in others
    ).translate(ALIGNED)
    width = len(reference.text)
    if (wrong := first_illegal(letters)) >= 0:
        row = (reference, *others)[wrong // width]
        letter = chr(row.text[wrong % width])
        raise InputError(
            f"{path}: line {row.line}: row {row.source.decode()} must hold IUPAC "
            f"letters, got {letter!r} at column {wrong % width + 1:,}."
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
    """An aligned FASTA: names of R records, and a file of their codes (R, columns)."""

    path: Path
    names: list[str]
    rows: Path
    columns: int

    def codes(self) -> npt.NDArray[Any]:
        """(R, columns) codes with soft masks, memory-mapped."""
        return np.memmap(
            self.rows, dtype=np.uint8, mode="r", shape=(len(self.names), self.columns)
        )


def read_records(path: Path, rows: Path, progress: OnRead = lambda _: None) -> Records:
    """Records of an aligned FASTA; their codes are written to the file `rows`.

    Raises: InputError for damaged files, repeated names and records of unequal length.
    """
    names: list[str] = []
    sizes: list[int] = []
    with rows.open("wb") as file:
        for name, codes in read_fasta(path, SOFT_ALIGNED, progress):
            if not codes:
                if name in names:
                    raise InputError(
                        f"{path}: record {name} must have a unique name, got it twice. Rename one."
                    )
                names.append(name)
                sizes.append(0)
            sizes[-1] += len(codes)
            file.write(codes)
    for name, size in zip(names, sizes, strict=True):
        if size != sizes[0] or not size:
            expected = "columns"
            if sizes[0]:
                expected = f"{sizes[0]:,} columns, as {names[0]} has"
            raise InputError(
                f"{path}: record {name} must have {expected}, got {size:,}. "
                "Align the records first."
            )
    if len(names) < 2:
        raise InputError(
            f"{path} must hold at least two aligned records, got {len(names)}."
        )
    return Records(path, names, rows, sizes[0])
