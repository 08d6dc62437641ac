"""Types of CSV columns: those that pandas infers, and none that it refuses to read."""

import csv
import io

import pandas as pd
import pytest

from r2mae.data.column_types import ColumnTypes
from r2mae.data.text_tables import read_table

PANDAS = {"int64": "int64", "float64": "float64", "bool": "bool", "str": "string"}
COLUMNS = {
    "whole numbers": ["1", "-2", "+3"],
    "leading zeros": ["007", "1"],
    "numbers": ["1", "2.5", ".5", "1e5", "3."],
    "whole numbers and a missing one": ["1", "", "3"],
    "nothing": ["", ""],
    "truth": ["True", "false", "TRUE"],
    "texts": ["a", "b"],
    "a text after numbers": ["1", "2", "NA"],
    "truth and numbers": ["True", "1"],
    "the ends of int64": ["9223372036854775807", "-9223372036854775808"],
}


def types_of(values, name="x"):
    types = ColumnTypes([name, "other"])
    for value in values:
        types.add([value, "a"])
    return types.types


@pytest.mark.parametrize("values", COLUMNS.values(), ids=list(COLUMNS))
def test_types_are_those_of_pandas(values):
    text = io.StringIO("x,other\n" + "".join(f"{value},a\n" for value in values))
    table = pd.read_csv(text, keep_default_na=False, na_values=[""])
    inferred = str(table["x"].dtype)
    expected = PANDAS.get(inferred, "string")  # object: texts, as of mixed columns
    assert types_of(values) == {"x": expected, "other": "string"}


def test_whole_numbers_that_64_bits_do_not_hold_are_texts():
    assert types_of(["1", "9223372036854775808"])["x"] == "string"
    assert types_of(["1" * 40])["x"] == "string"


FIELDS = {  # what they hold beside an empty field
    " 3": 3.0,
    "3\t": 3.0,
    "\x0b3\x0c": 3.0,
    "3\n": 3.0,
    "\u00a03": "\u00a03",
    "\u20033": "\u20033",
    "\x1c3": "\x1c3",
    "\x1f2.5": "\x1f2.5",
    "\u0663": "\u0663",  # a digit of another script
    "3\x00": "3",  # pandas reads a field up to there
    "1e308": 1e308,
    "1e400": "1e400",
    "-1e400": "-1e400",
    "12e4567": "12e4567",
    "1.7976931348623159e308": "1.7976931348623159e308",
    "9" * 400 + ".5": "9" * 400 + ".5",
    "1e-400": 0.0,
    "0e400": 0.0,
    "1e-99999999999": 0.0,
    "1e0000000000000000000000000005": 1e5,
    "0" * 23 + "1.5": 1.5,
    "0.8444218515250481": 0.8444218515250481,
    "1e 5": "1e 5",
    "+ 3": "+ 3",
    ".": ".",
    "inf": "inf",
    "nan": "nan",
    "0x10": "0x10",
    "1_000": "1_000",
    " True": " True",
}


def test_no_field_makes_a_file_unreadable(scratch):
    """Each in a column of its own, above an empty field."""
    names = [f"column {place}" for place in range(len(FIELDS))]
    with (scratch / "a.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [["text", *names], ["a", *FIELDS], ["b", *[""] * len(FIELDS)]]
        csv.writer(file).writerows(rows)
    rows = read_table(scratch / "a.csv", {})
    assert rows["text"][:] == ["a", "b"]
    read = dict(zip(FIELDS, (rows[name][:] for name in names), strict=True))
    assert read == {field: [value, None] for field, value in FIELDS.items()}


def test_a_long_field_of_digits_is_read_in_linear_time():
    """By steps back over each digit at each digit, it would be hours."""
    assert types_of(["1" * 1_000_000 + "x"])["x"] == "string"


@pytest.mark.parametrize(
    "header",
    [
        ",text",
        ",Unnamed: 0,text",
        "Unnamed: 1,,text",
        ",Unnamed: 0,Unnamed: 0.1,text",
    ],
)
def test_a_column_without_a_name_is_called_as_pandas_does(scratch, header):
    fields = [*range(header.count(",")), "a"]
    (scratch / "a.csv").write_text(f"{header}\n{','.join(map(str, fields))}\n")
    rows = read_table(scratch / "a.csv", {})
    assert rows.column_names == list(pd.read_csv(scratch / "a.csv").columns)
    assert list(rows[0].values()) == fields
