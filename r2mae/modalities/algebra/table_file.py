"""Read a Cayley table from a CSV file, and check that it is one of a group.

Shapes: N elements.
"""

import csv
from pathlib import Path

import numpy as np

from r2mae.errors import InputError, first_line
from r2mae.modalities.algebra.group import MOST_ELEMENTS, Group, Integers

_CORNERS = ("", "*")  # of a table with a header


def read_table(path: Path) -> Group:
    """The group of a table: cell (row, column) is row * column.

    A table whose first cell is empty or * has the elements' names in its first row, and
    in its first column in the same order. Otherwise elements are 0 .. N - 1.

    Raises: InputError for a damaged file, or naming the first group axiom that fails.
    """
    rows = _read_cells(path)
    if rows[0][0] in _CORNERS:
        names, cells = rows[0][1:], [row[1:] for row in rows[1:]]
        if [row[0] for row in rows[1:]] != names:
            raise InputError(
                f"{path} must name the elements alike in its first row and column, "
                "got other names or another order."
            )
    else:
        names, cells = [str(number) for number in range(len(rows))], rows
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path} must name each element once, got {twice!r} twice.")
    table = _closed(path, names, cells)
    check_group(str(path), table, names)
    return Group(str(path), table, tuple(names))


def _read_cells(path: Path) -> list[list[str]]:
    """Rows of text cells, as many in each row as there are rows."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [list(map(str.strip, row)) for row in csv.reader(file) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path} must be a readable .csv file, got {first_line(error)}."
        ) from None
    if len(rows) < 2 or len(rows) > MOST_ELEMENTS + 1:
        raise InputError(
            f"{path} must have 2 to {MOST_ELEMENTS} elements, got {len(rows)} rows."
        )
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows):
            raise InputError(
                f"{path} must have {len(rows)} cells in each of its {len(rows)} rows, "
                f"got {len(row)} in row {number}."
            )
    return rows


def _closed(path: Path, names: list[str], cells: list[list[str]]) -> Integers:
    """Numbers of the products. Raises: InputError where one is not an element."""
    numbers = {name: number for number, name in enumerate(names)}
    for name, row in zip(names, cells, strict=True):
        for other, cell in zip(names, row, strict=True):
            if cell not in numbers:
                raise InputError(
                    f"{path} must be closed, got {name} * {other} = {cell!r}, "
                    "which is not an element."
                )
    return np.array([list(map(numbers.__getitem__, row)) for row in cells])


def check_group(where: str, table: Integers, names: list[str]) -> None:
    """Raise InputError naming the first axiom that a table (N, N) breaks.

    In this order: identity, inverse, associativity.
    """
    size = len(table)
    numbers = np.arange(size)
    is_neutral = (table == numbers).all(axis=1) & (numbers == table.T).all(axis=1)
    if not is_neutral.any():
        raise InputError(
            f"{where} must have an identity, got no element e with e * g = g * e = g."
        )
    identity = is_neutral.argmax()
    is_inverse = (table == identity) & (identity == table.T)
    without = np.flatnonzero(~is_inverse.any(axis=1))
    if len(without):
        raise InputError(
            f"{where} must have an inverse of each element, "
            f"got none of {names[without[0]]}."
        )
    for number in range(size):  # (N, N) at a time, not (N, N, N)
        differs = table[table[number]] != table[number][table]
        if differs.any():
            second, third = np.argwhere(differs)[0]
            a, b, c = names[number], names[second], names[third]
            left = names[table[table[number, second], third]]
            right = names[table[number, table[second, third]]]
            raise InputError(
                f"{where} must be associative, got ({a} * {b}) * {c} = {left} "
                f"and {a} * ({b} * {c}) = {right}."
            )
