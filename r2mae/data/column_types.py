"""Types of the columns of a CSV file, from all of its rows.

pandas infers them from 10,000 rows at a time. A column whose first rows are numbers, or
empty, and whose later ones are texts would have two types, which `datasets` refuses.
"""

import re

_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*")
_NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")
_BOOLEANS = {"True", "TRUE", "true", "False", "FALSE", "false"}
_ENDS_OF_INT64 = (-(1 << 63), (1 << 63) - 1)
_MOST_DIGITS = 19  # of int64


class ColumnTypes:
    """The types of columns whose rows are added one by one, those that pandas would infer."""

    def __init__(self, names: list[str]) -> None:
        # pandas calls a column without a name so.
        self._names = [name or f"Unnamed: {place}" for place, name in enumerate(names)]
        self._kinds: list[set[str]] = [set() for _ in names]

    def add(self, fields: list[str]) -> None:
        """Count a row. An empty field is a missing value, of any type."""
        for kinds, field in zip(self._kinds, fields, strict=True):
            if "text" not in kinds:
                kinds.add(_kind(field))

    @property
    def types(self) -> dict[str, str]:
        """The type of each column, as `datasets.Value` names them."""
        return {
            name: _type(kinds)
            for name, kinds in zip(self._names, self._kinds, strict=True)
        }


def _kind(field: str) -> str:
    if not field:
        return "missing"
    if _INTEGER.fullmatch(field):
        return "integer" if _is_int64(field) else "text"
    if _NUMBER.fullmatch(field):
        return "number"
    return "boolean" if field in _BOOLEANS else "text"


def _is_int64(field: str) -> bool:
    digits = field.strip()
    if len(digits) < _MOST_DIGITS:
        return True
    low, high = _ENDS_OF_INT64
    return len(digits) <= _MOST_DIGITS + 1 and low <= int(digits) <= high


def _type(kinds: set[str]) -> str:
    if kinds == {"integer"}:
        return "int64"
    if kinds <= {"integer", "number", "missing"}:
        return "float64"
    return "bool" if kinds == {"boolean"} else "string"
