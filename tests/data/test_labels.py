"""Class numbers of columns, and sets of labels in their names."""

import datasets
import pytest

from r2mae.data.labels import class_numbers, real_numbers, split_labels
from r2mae.data.text_tables import read_table
from r2mae.errors import InputError


def table(**columns):
    return datasets.Dataset.from_dict(columns)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("a", ["a"]),
        ("a;b", ["a", "b"]),
        (" a | b c|", ["a", "b c"]),
        (";", []),
        ("a;b|c", ["a", "b", "c"]),
    ],
)
def test_names_split_into_labels(name, labels):
    assert split_labels(name) == labels


def test_columns_of_0_and_1_are_joined():
    rows = table(a=[0, 1, 1], b=[0.0, 0.0, 1.0], c=["0", "1", "1"])
    numbers, names = class_numbers(rows, ("a", "b", "c"), "x.csv")
    assert [names[number] for number in numbers.tolist()] == [";", "a;c", "a;b;c"]
    alone, _ = class_numbers(table(label=["a;c"]), "label", "y.csv")
    assert alone[0] == numbers[1]  # the same class in every split


def test_whole_numbers_among_names_are_the_classes_of_a_split_of_numbers_alone():
    numbers, names = class_numbers(table(label=["10", "2", "other"]), "label", "x.csv")
    alone, also_names = class_numbers(table(label=[2, 10]), "label", "y.csv")
    assert numbers.tolist()[:2] == alone.tolist()[::-1] == [10, 2]
    assert names[10] == also_names[10] == "10"


@pytest.mark.parametrize(
    ("spellings", "classes"),
    [
        (["007", "012"], {7: "7", 12: "12"}),
        (["1.0", "2.0"], {1: "1", 2: "2"}),
        ([" 3", "+4"], {3: "3", 4: "4"}),
        (["1e3", "2."], {1000: "1000", 2: "2"}),
        (["True", "False"], {1: "True", 0: "False"}),
        (["true", "FALSE"], {1: "True", 0: "False"}),
        (["100000000000000000000", "a"], None),
        (["1e30", "0.5"], None),
    ],
)
@pytest.mark.parametrize("other", ["other", "0.5"])
def test_a_class_has_one_number_in_all_splits(scratch, spellings, classes, other):
    """Also where other classes of a CSV file make its whole numbers texts."""

    def read(*labels):
        lines = [f"text,{label}" for label in labels]
        (scratch / "a.csv").write_text("\n".join(["text,label", *lines, ""]))
        numbers, names = class_numbers(read_table(scratch / "a.csv", {}), "label", "x")
        return numbers.tolist(), names

    numbers, names = read(*spellings, other, "x")
    found = {number: names[number] for number in numbers[:2]}
    if classes:
        assert read(*spellings) == (list(classes), classes)
        assert found == classes
    else:
        assert list(found.values()) == spellings


def test_columns_of_0_and_1_keep_their_names():
    rows = table(**{"007": [1, 0, 1], "-1": [0, 1, 0], "7": [0, 0, 1]})
    numbers, names = class_numbers(rows, ("007", "-1", "7"), "x.csv")
    assert [names[number] for number in numbers.tolist()] == ["007", "-1", "007;7"]


def test_a_number_below_0_is_no_class():
    with pytest.raises(InputError, match="row 1 of label must be a class from 0"):
        class_numbers(table(label=[1, -1]), "label", "x.csv")


@pytest.mark.parametrize("labels", [["1", "-1"], ["a", "-1"]])
def test_a_text_of_a_number_below_0_is_a_class_like_other_texts(labels):
    numbers, names = class_numbers(table(label=labels), "label", "x.csv")
    assert [names[number] for number in numbers.tolist()] == labels


def test_texts_that_are_numbers_are_targets():
    assert real_numbers(["0.5", "2"], "y", "train.csv").tolist() == [0.5, 2]
    with pytest.raises(InputError, match="row 1 of y must be a number, got 'n/a'"):
        real_numbers(["0.5", "n/a"], "y", "train.csv")


@pytest.mark.parametrize("value", [2, None, 0.5])
def test_columns_of_other_values_are_refused(value):
    with pytest.raises(InputError, match="row 1 of b must be 0 or 1"):
        class_numbers(table(a=[0, 1], b=[0, value]), ("a", "b"), "x.csv")


def test_nothing_is_no_class():
    with pytest.raises(InputError, match=r"row 1 of label must be a class.*write ;"):
        class_numbers(table(label=["a", None]), "label", "x.csv")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "row 1 of y must be a number, got nan"),
        (None, "row 1 of y must be a number, got None"),
        (-1e39, r"must be a number of 32 bits, up to 3\.4e\+38, got -1e\+39"),
        (10**400, "must be a number of 32 bits"),
    ],
)
def test_numbers_that_32_bits_do_not_hold_are_refused(value, message):
    with pytest.raises(InputError, match=message):
        real_numbers([0.5, value], "y", "train.csv")
    assert real_numbers([0.5, 3e38, 7], "y", "train.csv").dtype == "float32"
