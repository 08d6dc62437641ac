"""Labels of a table's column: class numbers with names, sets of labels in these names, or numbers to predict."""

import hashlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from r2mae.data.column_types import value_of
from r2mae.errors import InputError

_HUGE = 1 << 62
_LARGEST = float(np.finfo(np.float32).max)
NO_LABEL = ";"  # the class of a sample that has none of several labels
_NUMERAL = re.compile("0|[1-9][0-9]{,16}")
LabelColumn = str | tuple[str, ...]


def split_labels(name: str) -> list[str]:
    """The labels in a class name such as "a;b" or "a|b"."""
    parts = (part.strip() for part in re.split("[;|]", name))
    return [part for part in parts if part]


def natural(name: str) -> tuple[bool, int, str]:
    """Sort key: numbers by value, then names by alphabet."""
    return (False, int(name), "") if name.isdecimal() else (True, 0, name)


def columns_of(label: LabelColumn | None) -> tuple[str, ...]:
    """Names of the columns that hold labels."""
    if label is None:
        return ()
    return (label,) if isinstance(label, str) else label


def class_numbers(
    rows: Any, label: LabelColumn, where: str
) -> tuple[Any, dict[int, str]]:
    """(class numbers (N,), names of the numbers) of a column of classes, or of columns of 0 and 1.

    The class of several columns names those that hold 1, as in "a;b". Whole numbers and
    truth values stay as they are, however a file writes them, also where other classes
    of a split make them texts: 7, 007 and 7.0 are the class 7. Other texts are numbered
    by a hash of the name, so that splits agree.

    Raises: InputError for rows without a class, and for numbers that are none.
    """
    if not isinstance(label, str):
        return _numbered(_joined(rows, label, where), _numeral)
    values = rows[label][:]
    for row, value in enumerate(values):
        _check_class(value, f"{where}: row {row} of {label}", f"{where}: {label}")
    feature = rows.features[label]
    if hasattr(feature, "names"):
        names = {number: str(name) for number, name in enumerate(feature.names)}
        labels = np.array(values, dtype=np.int64)
    else:
        labels, names = _numbered(values, _class_of)
    if (labels < 0).any():
        row = int(np.flatnonzero(labels < 0)[0])
        raise InputError(
            f"{where}: row {row} of {label} must be a class from 0, got {labels[row]}."
        )
    return labels, names


def _joined(rows: Any, columns: tuple[str, ...], where: str) -> list[str]:
    """For each row, the names of the columns that hold 1."""
    chosen: list[list[str]] = [[] for _ in rows[columns[0]][:]]
    for column in columns:
        for row, value in enumerate(rows[column][:]):
            if value not in (0, 1, "0", "1"):
                raise InputError(
                    f"{where}: row {row} of {column} must be 0 or 1, as "
                    f"data.label_column names several columns, got {value!r:.40}."
                )
            if int(value):
                chosen[row].append(column)
    return [";".join(names) or NO_LABEL for names in chosen]


def _check_class(value: Any, row: str, column: str) -> None:
    """Raise InputError for a value that is no class."""
    if value is None:
        remedy = f"With tune.target: multi_label, write {NO_LABEL} for no label."
        raise InputError(f"{row} must be a class, got nothing. {remedy}")
    if isinstance(value, (list, dict)):
        raise InputError(f"{row} must be a class, got {value!r:.40}.")
    if isinstance(value, float) and not value.is_integer():
        remedy = "Set tune.target: regression for numbers."
        raise InputError(f"{column} must hold classes, got {value}. {remedy}")
    if isinstance(value, (int, float)) and not -_HUGE < value < _HUGE:
        raise InputError(f"{column} must hold classes below 2^62, got {value}.")


def _numbered(
    values: list[Any], read: Callable[[Any], float | str]
) -> tuple[Any, dict[int, str]]:
    """Numbers and their names, whatever other classes a split has."""
    # An array of texts would give each value the memory of the longest.
    classes = {value: read(value) for value in set(values)}
    numbers = {value: _number_of(found) for value, found in classes.items()}
    labels = np.array([numbers[value] for value in values], dtype=np.int64)
    ordered = sorted(classes.values(), key=_name_of)  # 1 and True are one class: True
    return labels, {_number_of(found): _name_of(found) for found in ordered}


def _class_of(value: Any) -> float | str:
    """The whole number from 0 or truth value that a text spells; a number itself; else the text."""
    if isinstance(value, (int, float)):
        return value
    text = str(value)
    spelt = value_of(text)
    if isinstance(spelt, (int, float)) and 0 <= spelt < _HUGE and not spelt % 1:
        return spelt
    return text


def _numeral(name: str) -> float | str:
    """The number that a column's name is, as Python writes it; else the name."""
    return int(name) if _NUMERAL.fullmatch(name) else name


def _number_of(found: float | str) -> int:
    """A whole number itself, 48 bits of the hash of a text."""
    if isinstance(found, str):
        return int(hashlib.sha256(found.encode()).hexdigest()[:12], 16)
    return int(found)


def _name_of(found: float | str) -> str:
    return str(found if isinstance(found, (str, bool)) else int(found))


def _parsed(value: Any) -> Any:
    """The number that a text is; any other value as it is."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def real_numbers(values: list[Any], label: str, where: str) -> Any:
    """(N,) float32 of a column of numbers, or of texts that are numbers.

    Raises: InputError for others, and for numbers that 32 bits do not hold.
    """
    values = [_parsed(value) for value in values]
    for row, value in enumerate(values):
        is_number = isinstance(value, int) or (
            isinstance(value, float) and np.isfinite(value)
        )
        if not is_number:
            raise InputError(
                f"{where}: row {row} of {label} must be a number, got {value!r}."
            )
        if abs(value) > _LARGEST:
            raise InputError(
                f"{where}: row {row} of {label} must be a number of 32 bits, up to "
                f"{_LARGEST:.1e}, got {value!r:.40}. Use other units."
            )
    return np.array(values, dtype=np.float32)
