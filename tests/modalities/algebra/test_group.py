"""Groups: their tables, names, and what the check of a Cayley table names."""

import math

import numpy as np
import pytest

from r2mae.errors import InputError
from r2mae.modalities.algebra.group import check_name, open_group
from r2mae.modalities.algebra.table_file import check_group, read_table

ORDERS = {
    "Z2": 2,
    "Z23": 23,
    "D3": 6,
    "D4": 8,
    "D7": 14,
    "S3": 6,
    "S4": 24,
    "S5": 120,
    "Q8": 8,
    "Z2xZ3": 6,
    "Z2xS3": 12,
    "Z2xZ2xZ2": 8,
}


@pytest.mark.parametrize("name", ORDERS)
def test_each_table_is_that_of_a_group(name):
    group = open_group(name)
    assert group.name == name
    assert len(group) == ORDERS[name] == len(set(group.elements))
    check_group(name, group.table, list(group.elements))
    identity = group.table[np.arange(len(group)), group.inverses]
    assert (identity == group.identity).all()


def element_orders(group):
    """Sorted orders of the elements, which tell small groups apart."""
    orders = []
    for element in range(len(group)):
        power, order = element, 1
        while power != group.identity:
            power, order = group.table[power, element], order + 1
        orders.append(order)
    return sorted(orders)


def test_groups_of_eight_elements_are_told_apart_by_the_orders_of_elements():
    assert element_orders(open_group("Q8")) == [1, 2, 4, 4, 4, 4, 4, 4]
    assert element_orders(open_group("D4")) == [1, 2, 2, 2, 2, 2, 4, 4]
    assert element_orders(open_group("Z8")) == [1, 2, 4, 4, 8, 8, 8, 8]
    assert element_orders(open_group("S3")) == element_orders(open_group("D3"))


@pytest.mark.parametrize(
    ("name", "abelian"), [("Z6", True), ("Z2xZ3", True), ("S3", False), ("Q8", False)]
)
def test_abelian_groups_are_those_whose_products_commute(name, abelian):
    assert open_group(name).is_abelian == abelian


def test_symmetric_groups_compose_as_maps():
    group = open_group("S3")
    first, second = group.elements.index("213"), group.elements.index("132")
    # "132" is applied first: 1 -> 1 -> 2, 2 -> 3 -> 3, 3 -> 2 -> 1
    assert group.elements[group.table[first, second]] == "231"


@pytest.mark.parametrize("name", ["Z1", "D2", "S6", "Q4", "A5", "Z5xx", "z5", ""])
def test_another_name_is_refused(name):
    with pytest.raises(ValueError, match=r"must be Z<n>, D<n>"):
        check_name(name)


def test_a_group_of_too_many_elements_is_refused():
    with pytest.raises(ValueError, match="at most 256 elements, got 14,400"):
        check_name("S5xS5")


def write(path, rows):
    path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return path


def test_a_table_of_numbers_is_read(tmp_path):
    group = open_group("S4")
    read = read_table(write(tmp_path / "s4.csv", group.table))
    assert np.array_equal(read.table, group.table)


def test_a_table_with_names_is_read(tmp_path):
    group = open_group("Q8")
    names = np.array(group.elements)
    rows = [["*", *names], *(np.c_[names, names[group.table]])]
    read = open_group(str(write(tmp_path / "q8.csv", rows)))
    assert read.elements == group.elements
    assert np.array_equal(read.table, group.table)


Z3 = [[0, 1, 2], [1, 2, 0], [2, 0, 1]]


@pytest.mark.parametrize(
    ("rows", "violation"),
    [
        ([[0, 1, 2], [1, 2, 7], [2, 0, 1]], "closed, got 1 [*] 2 = '7'"),
        ([[1, 2, 0], [0, 1, 2], [2, 0, 1]], "an identity"),
        ([[0, 1, 2], [1, 1, 2], [2, 2, 0]], "inverse of each element, got none of 1"),
        ([[0, 1, 2], [1, 0, 2], [2, 2, 0]], r"associative, got \(1 [*] 2\) [*] 2 = 0"),
        ([[0, 1], [1]], "2 cells in each of its 2 rows, got 1 in row 2"),
        ([["", "a", "b"], ["b", "b", "a"], ["a", "a", "b"]], "first row and column"),
        ([["", "a", "a"], ["a", "a", "a"], ["a", "a", "a"]], "'a' twice"),
        ([[0]], "2 to 256 elements"),
    ],
)
def test_the_first_violation_of_a_table_is_named(tmp_path, rows, violation):
    path = write(tmp_path / "table.csv", rows)
    with pytest.raises(InputError, match=violation):
        read_table(path)


def test_a_loop_that_is_not_associative_is_refused(tmp_path):
    """A Latin square with identity and inverses: only the last check can refuse it."""
    rows = [
        [0, 1, 2, 3, 4],
        [1, 0, 3, 4, 2],
        [2, 4, 0, 1, 3],
        [3, 2, 4, 0, 1],
        [4, 3, 1, 2, 0],
    ]
    with pytest.raises(InputError, match=r"associative, got \(1 \* 1\) \* 2 = 2 and"):
        read_table(write(tmp_path / "loop.csv", rows))


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match="readable .csv file"):
        read_table(tmp_path / "none.csv")


def test_orders_of_symmetric_groups():
    assert [len(open_group(f"S{n}")) for n in (3, 4, 5)] == [
        math.factorial(n) for n in (3, 4, 5)
    ]
