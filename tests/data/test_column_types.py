"""Types of CSV columns, compared with those that pandas infers."""

import io

import pandas as pd
import pytest

from r2mae.data.column_types import ColumnTypes

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


def test_a_column_without_a_name_is_called_as_pandas_does():
    assert list(types_of(["1"], name="")) == ["Unnamed: 0", "other"]
