"""Types of the columns of a CSV file, from all of its rows.

pandas infers them from 10,000 rows at a time. A column whose first rows are numbers, or
empty, and whose later ones are texts would have two types, which `datasets` refuses.

A column holds whole numbers of 64 bits, finite numbers, or truth values if all of its
fields are such. Numbers may miss; any other column holds texts. A field counts as a number
only if pandas reads it as one too: it would refuse the file otherwise.
"""

import math
import re

_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)
_NUMBER = re.compile(
    r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*", re.ASCII
)
_TRUE, _FALSE = ("True", "TRUE", "true"), ("False", "FALSE", "false")
_ENDS_OF_INT64 = (-(1 << 63), (1 << 63) - 1)
_MOST_DIGITS = 19  # of int64


class ColumnTypes:
    """The types of columns whose rows are added one by one."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._kinds: list[set[type]] = [set() for _ in names]

    def add(self, fields: list[str]) -> None:
        """Count a row. An empty field is a missing value, of any type."""
        for kinds, field in zip(self._kinds, fields, strict=True):
            if str not in kinds:
                kinds.add(type(value_of(field)))

    @property
    def types(self) -> dict[str, str]:
        """The type of each column, as `datasets.Value` names them."""
        return {
            name: _type(kinds)
            for name, kinds in zip(self._names, self._kinds, strict=True)
        }


def value_of(field: str) -> int | float | bool | str | None:
    """What a field by itself holds; None for nothing."""
    if not field:
        return None
    if field in _TRUE or field in _FALSE:
        return field in _TRUE
    if _INTEGER.fullmatch(field):
        return int(field) if _is_int64(field) else field
    if _NUMBER.fullmatch(field) and math.isfinite(number := float(field)):
        return number
    return field


def _is_int64(field: str) -> bool:
    digits = field.strip()
    if len(digits) < _MOST_DIGITS:
        return True
    low, high = _ENDS_OF_INT64
    return len(digits) <= _MOST_DIGITS + 1 and low <= int(digits) <= high


def _type(kinds: set[type]) -> str:
    if kinds == {int}:
        return "int64"
    if kinds <= {int, float, type(None)}:
        return "float64"
    return "bool" if kinds == {bool} else "string"
