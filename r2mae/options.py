"""Types of command-line options, and parsers of values that several commands take."""

import math
from argparse import ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path

from r2mae.errors import InputError

MAX_RATIOS = 16


def positive(text: str) -> int:
    """Argparse type: a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return int(text)


def count(text: str) -> int:
    """Argparse type: a whole number from 0."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"must be a whole number from 0, got {text!r}")
    return int(text)


def share(text: str) -> float:
    """Argparse type: a number in [0, 1]."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f"must be in [0, 1], got {text!r}")
    return value


def layer(text: str) -> int | str:
    """Argparse type: `last`, `auto`, or a layer's number such as `3` or `-2`."""
    if text in ("last", "auto"):
        return text
    if not text.removeprefix("-").isdecimal() or int(text) == 0:
        raise ArgumentTypeError(
            f"must be last, auto, or a layer such as 3 or -2, got {text!r}"
        )
    return int(text)


def positive_list(text: str) -> list[int]:
    """Argparse type: whole numbers from 1, separated by commas, as in `7,13`."""
    return [positive(part) for part in text.split(",")]


def label_counts(text: str) -> list[int | None]:
    """Argparse type: labels per class, separated by commas, as in `1,10,all`.

    `all` gives None. A number that is repeated counts once.
    """
    parts = text.split(",")
    if not all(part == "all" or (part.isdecimal() and int(part) > 0) for part in parts):
        raise ArgumentTypeError(
            f"must be whole numbers from 1, or all, separated by commas, got {text!r}"
        )
    counts = [None if part == "all" else int(part) for part in parts]
    return list(dict.fromkeys(counts))


def shares(text: str) -> tuple[float, ...]:
    """Argparse type: fractions in [0, 1) separated by commas, as in `0,0.25,0.5`."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = (math.nan,)
    if not all(0 <= number < 1 for number in numbers):
        raise ArgumentTypeError(
            f"must be fractions in [0, 1) separated by commas, got {text!r}"
        )
    return tuple(dict.fromkeys(numbers))


def mask_ratios(text: str) -> list[float]:
    """Argparse type: up to 16 fractions in (0, 1) separated by commas, as in `0.25,0.5`."""
    try:
        ratios = [float(part) for part in text.split(",")]
    except ValueError:
        ratios = [math.nan]
    if not all(0 < ratio < 1 for ratio in ratios) or len(ratios) > MAX_RATIOS:
        raise ArgumentTypeError(
            f"must be up to {MAX_RATIOS} fractions in (0, 1) separated by commas, "
            f"got {text!r}"
        )
    return ratios


def png_path(text: str) -> Path:
    """Argparse type: a file that ends in .png."""
    if Path(text).suffix.lower() != ".png":
        raise ArgumentTypeError(f"must end in .png, got {text!r}")
    return Path(text)


def comma_separated(text: str) -> list[str]:
    """Argparse type: names separated by commas, as in `knn,linear_probe`."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise ArgumentTypeError(f"must be names separated by commas, got {text!r}")
    return parts


def parse_pairs(name: str, texts: Sequence[str]) -> dict[str, str]:
    """The values `LEFT=RIGHT` of a repeatable option --name, as {left: right}.

    Raises: InputError for a value without text on both sides of =.
    """
    pairs = {}
    for text in texts:
        left, _, right = text.partition("=")
        if not left or not right:
            raise InputError(f"--{name} must be LEFT=RIGHT, got {text!r}.")
        pairs[left] = right
    return pairs


def run_path(name: str) -> Path:
    """runs/<name>.

    Raises: InputError for names that would leave runs/.
    """
    is_plain = isinstance(name, str) and name.isprintable() and Path(name).name == name
    if not is_plain or not name or name.startswith("."):
        raise InputError(f"--name must be a plain folder name, got {name!r}.")
    return Path("runs") / name
