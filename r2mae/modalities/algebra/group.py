"""Finite groups as multiplication tables.

Shapes: N elements.
"""

import itertools
import re
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path

import numpy as np
import numpy.typing as npt

from r2mae.errors import InputError

Integers = npt.NDArray[np.int64]
MOST_ELEMENTS = 256  # a table has N^2 triples, and the associativity check N^3 products
_FACTOR = re.compile(r"([ZDSQ])(\d+)")
_FORMS = "Z<n>, D<n>, S3, S4, S5, Q8, products of them such as Z2xS3, or a .csv file"


@dataclass(frozen=True)
class Group:
    """A finite group.

    name: as a recipe writes it.
    table: (N, N) numbers of the products, row * column.
    elements: N names.
    """

    name: str
    table: Integers
    elements: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def identity(self) -> int:
        """The neutral element."""
        rows = (self.table == np.arange(len(self))).all(axis=1)
        return int(rows.argmax())

    @cached_property
    def inverses(self) -> Integers:
        """(N,) the inverse of each element."""
        inverses: Integers = (self.table == self.identity).argmax(axis=1)
        return inverses

    @cached_property
    def is_abelian(self) -> bool:
        """Whether products commute."""
        return bool((self.table == self.table.T).all())


def is_table_file(name: str) -> bool:
    """Whether `data.group` is a file."""
    return name.lower().endswith(".csv")


def check_name(name: str) -> str:
    """The name of a group, as `data.group` takes it.

    Raises: ValueError for another name, or a group of more than 256 elements.
    """
    if is_table_file(name):
        return name
    order = 1
    for factor in name.split("x"):
        order *= _order(factor, name)
    if order > MOST_ELEMENTS:
        raise ValueError(
            f"must have at most {MOST_ELEMENTS} elements, got {order:,} in {name!r}."
        )
    return name


def _order(factor: str, name: str) -> int:
    """Number of elements of a factor. Raises: ValueError unless it names a group."""
    match = _FACTOR.fullmatch(factor)
    letter, number = (match[1], int(match[2])) if match else ("", 0)
    if letter == "Z" and number >= 2:
        return number
    if letter == "D" and number >= 3:
        return 2 * number
    if letter == "S" and number in (3, 4, 5):
        return int(np.prod(range(1, number + 1)))
    if letter == "Q" and number == 8:
        return 8
    raise ValueError(f"must be {_FORMS}, got {name!r}.")


def open_group(name: str) -> Group:
    """The group of `data.group`.

    Raises: InputError for an unknown name, or a table that is not one of a group.
    """
    if is_table_file(name):
        from r2mae.modalities.algebra.table_file import read_table

        return read_table(Path(name))
    try:
        check_name(name)
    except ValueError as error:
        raise InputError(f"data.group {error}") from None
    factors = [_BUILDERS[part[0]](int(part[1:])) for part in name.split("x")]
    return reduce(_product, factors)


def cyclic(order: int) -> Group:
    """Z_n: addition modulo n."""
    numbers = np.arange(order)
    table = (numbers[:, None] + numbers) % order
    return Group(f"Z{order}", table, tuple(map(str, range(order))))


def dihedral(sides: int) -> Group:
    """D_n: the 2 n symmetries of a regular polygon; r is a rotation, s a reflection."""
    flips, turns = np.divmod(np.arange(2 * sides), sides)
    # (r^a s^f)(r^b s^g) = r^(a + b) s^g if f = 0, and r^(a - b) s^(1 + g) if f = 1
    sign = 1 - 2 * flips
    turned = (turns[:, None] + sign[:, None] * turns) % sides
    table = turned + sides * (flips[:, None] ^ flips)
    names = [f"r{turn}" for turn in range(sides)]
    return Group(f"D{sides}", table, (*names, *(f"{name}s" for name in names)))


def symmetric(degree: int) -> Group:
    """S_n: permutations of n points; g1 * g2 applies g2 first."""
    permutations = np.array(list(itertools.permutations(range(degree))))
    composed = permutations[:, permutations]  # (N, N, n)
    digits = degree ** np.arange(degree)
    codes = permutations @ digits
    order = codes.argsort()
    places = np.searchsorted(codes[order], composed @ digits)
    names = tuple("".join(map(str, one)) for one in (permutations + 1).tolist())
    return Group(f"S{degree}", order[places].astype(np.int64), names)


def quaternion(order: int = 8) -> Group:
    """Q8: 1, i, j, k and their negatives."""
    assert order == 8
    # rows and columns 1, i, j, k: which unit the product is, and its sign
    units = np.array([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]])
    signs = np.array([[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 1, 0], [0, 0, 1, 1]])
    minus, unit = np.divmod(np.arange(8), 4)
    pairs = unit[:, None], unit
    negative = minus[:, None] ^ minus ^ signs[pairs]
    table = units[pairs] + 4 * negative
    return Group("Q8", table, ("1", "i", "j", "k", "-1", "-i", "-j", "-k"))


def _product(first: Group, second: Group) -> Group:
    """The direct product; the second factor's elements run fastest."""
    size = len(second)
    left, right = np.divmod(np.arange(len(first) * size), size)
    table = first.table[left[:, None], left] * size
    table = table + second.table[right[:, None], right]
    pairs = itertools.product(first.elements, second.elements)
    names = tuple(",".join(pair) for pair in pairs)
    return Group(f"{first.name}x{second.name}", table, names)


_BUILDERS = {"Z": cyclic, "D": dihedral, "S": symmetric, "Q": quaternion}
