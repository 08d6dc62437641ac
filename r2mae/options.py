"""Types of command-line options, and parsers of small values that several commands read."""

from argparse import ArgumentTypeError
from collections.abc import Sequence

from r2mae.errors import InputError

MOST_RATIOS = 16


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return int(text)


def share(text: str) -> float:
    """A number in [0, 1]."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f"must be in [0, 1], got {text!r}")
    return value


def positive_list(text: str) -> list[int]:
    """Whole numbers from 1 with commas between: `7,13`."""
    return [positive(part) for part in text.split(",")]


def label_counts(text: str) -> list[int | None]:
    """Labels a class with commas between, None for `all`: `1,10,all`."""
    parts = text.split(",")
    if not all(part == "all" or (part.isdecimal() and int(part) > 0) for part in parts):
        raise ArgumentTypeError(
            f"must be whole numbers from 1, or all, between commas, got {text!r}"
        )
    return [None if part == "all" else int(part) for part in parts]


def parse_ratios(text: str) -> list[float]:
    """Mask ratios with commas between: `0.25,0.5`.

    Raises: InputError unless all are fractions in (0, 1), 16 at most.
    """
    try:
        ratios = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"--ratios must be numbers with commas between, got {text!r}."
        ) from None
    if not all(0 < ratio < 1 for ratio in ratios) or len(ratios) > MOST_RATIOS:
        raise InputError(
            f"--ratios must be up to {MOST_RATIOS} fractions in (0, 1), got {text!r}."
        )
    return ratios


def parse_pairs(name: str, texts: Sequence[str]) -> dict[str, str]:
    """Values `LEFT=RIGHT` of an option --name that may be repeated.

    Raises: InputError for a value without a text on both sides.
    """
    pairs = {}
    for text in texts:
        left, _, right = text.partition("=")
        if not left or not right:
            raise InputError(
                f"--{name} must be two words with = between, got {text!r}."
            )
        pairs[left] = right
    return pairs
