"""Codes of bases: 0 A, 1 C, 2 G, 3 T or U, 4 N and other IUPAC, 5 a gap; + 8 if soft-masked."""

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint8]
A, C, G, T, N, GAP = range(6)
SOFT_MASK = 8
PLAIN = 7  # code & PLAIN is the base without its soft mask
LETTERS = "ACGTN-"
BLANKS = b"\n\r\t "
_ILLEGAL = 0xFF


def _table(*, soft_mask: int, gap: bool) -> bytes:
    """A table for bytes.translate: a letter's code, 255 for other characters."""
    table = bytearray([_ILLEGAL]) * 256
    for letter in "ACGTURYKMSWBDHVN":
        code = "ACGT".find(letter.replace("U", "T"))
        table[ord(letter)] = N if code < 0 else code
        table[ord(letter.lower())] = table[ord(letter)] | soft_mask
    if gap:
        table[ord("-")] = table[ord(".")] = GAP
        # Missing data, as PHAST and NEXUS write it.
        table[ord("*")] = table[ord("?")] = N
    return bytes(table)


GENOME, ALIGNED, SOFT_ALIGNED = (
    _table(soft_mask=SOFT_MASK, gap=False),
    _table(soft_mask=0, gap=True),
    _table(soft_mask=SOFT_MASK, gap=True),
)

# By code: the complementary base; N, gaps and soft masks are unchanged.
COMPLEMENT: Codes = np.array(
    [3, 2, 1, 0, 4, 5, 6, 7, 11, 10, 9, 8, 12, 13, 14, 15], dtype=np.uint8
)


def first_illegal(codes: bytes) -> int:
    """Index of the first character that is no base in translated letters; -1 if none."""
    return codes.find(_ILLEGAL)


def encode(letters: str) -> Codes:
    """(N,) codes of letters, with gaps and soft masks.

    Raises: ValueError for characters that are no IUPAC letter or gap.
    """
    codes = letters.encode().translate(SOFT_ALIGNED)
    if (at := first_illegal(codes)) >= 0:
        raise ValueError(f"letter {letters[at]!r} at {at}")
    return np.frombuffer(codes, dtype=np.uint8)


def decode(codes: Codes) -> str:
    """Letters of codes (N,); soft-masked bases in lower case."""
    text = bytes(LETTERS + "??", "ascii")
    return codes.tobytes().translate((text + text.lower()).ljust(256, b"?")).decode()


def reverse_complement(codes: Codes, axis: int = -1) -> Codes:
    """Reverse complement of codes along an axis."""
    return np.flip(COMPLEMENT[codes], axis)
