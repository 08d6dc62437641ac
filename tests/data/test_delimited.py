"""CSV and TSV as people write them: stray quotes, line breaks, rows beyond the header."""

import pandas as pd
import pytest

from r2mae.data.bad_rows import BadRows
from r2mae.data.text_tables import read_table
from r2mae.errors import InputError
from tests.data.test_text_tables import texts_of

pytestmark = pytest.mark.usefixtures("scratch")


@pytest.mark.parametrize("suffix", ["tsv", "csv"])
def test_stray_quotes_merge_no_rows(scratch, suffix):
    """Item 18: rows 10 and 30 of 60 begin with a quote."""
    separator = "\t" if suffix == "tsv" else ","
    texts = [f'"row {n}' if n in (10, 30) else f"row {n}" for n in range(60)]
    rows = [f"{text}{separator}{n}" for n, text in enumerate(texts)]
    path = scratch / f"a.{suffix}"
    path.write_text("\n".join([f"text{separator}label", *rows]) + "\n")
    assert texts_of(path) == texts
    assert read_table(path, {})["label"][:] == list(range(60))


def test_quotes_that_end_a_later_row_merge_no_rows(scratch):
    """Well-formed as CSV, but each line by itself has the header's fields."""
    path = scratch / "a.tsv"
    path.write_text('text\tn\n"one\t1\ntwo\t2\nthree"\t3\n')
    assert read_table(path, {})["n"][:] == [1, 2, 3]


def test_quotes_enclose_separators_and_line_breaks(scratch):
    frame = pd.DataFrame({"text": ["a, b", 'she said "no"', "two\nlines", "x"], "n": 1})
    for name, separator in (("a.csv", ","), ("a.tsv", "\t")):
        frame.to_csv(name, index=False, sep=separator)
        assert texts_of(scratch / name) == frame["text"].tolist()
    frame[["text"]].to_csv("one_column.csv", index=False)
    assert texts_of(scratch / "one_column.csv") == frame["text"].tolist()


def test_a_card_decides_on_quotes(scratch):
    path = scratch / "a.tsv"
    path.write_text('text\tn\n"quoted"\t1\n')
    assert texts_of(path) == ["quoted"]
    assert texts_of(path, quoting=False) == ['"quoted"']


def test_a_row_beyond_the_header_is_one_line_or_skipped(scratch):
    path = scratch / "a.csv"
    path.write_text("text,n\ngood,1\nbad, indeed,2\nshort\ntrailing,3,,\n")
    with pytest.raises(
        InputError, match=r"row 1 \(line 3\) must have 2 fields .* got 3"
    ):
        texts_of(path)
    bad_rows = BadRows(skip=True)
    assert texts_of(path, bad_rows=bad_rows) == ["good", "short", "trailing"]
    assert bad_rows.numbers == [1]
    again = BadRows(skip=True)  # from the cache
    assert texts_of(path, bad_rows=again) == ["good", "short", "trailing"]
    assert again.note == bad_rows.note
    assert "1 bad row" in again.note


def test_a_column_that_is_named_twice_is_refused(scratch):
    path = scratch / "a.csv"
    path.write_text("text,n,text\none,1,two\n")
    with pytest.raises(InputError, match="each column once, got 'text' twice"):
        texts_of(path)


MANY = 10_050  # rows, more than pandas reads at a time


@pytest.mark.parametrize(
    ("first", "last", "read"),
    [
        ("1", "neutral", ["1", "neutral"]),
        ("1", "2.5", [1.0, 2.5]),
        ("", "late", [None, "late"]),
        ("True", "maybe", ["True", "maybe"]),
        ("007", "b", ["007", "b"]),
        ("7", "8", [7, 8]),
        (" 7", "8", [7, 8]),
        ("7", "", [7.0, None]),
        ("True", "False", [True, False]),
        (str(2**62), str(2**62 + 1), [2**62, 2**62 + 1]),
        (str(2**80), "1", [str(2**80), "1"]),
    ],
)
def test_a_column_has_one_type_in_all_rows(scratch, first, last, read):
    """The last of more rows than pandas looks at together decides too."""
    path = scratch / "a.csv"
    rows = [f"text,{first}"] * MANY + [f"text,{last}"]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    values = read_table(path, {})["label"][:]
    assert [values[0], values[MANY]] == read
    assert type(values[0]) is type(read[0])


def test_an_index_without_a_name_is_a_column(scratch):
    pd.DataFrame({"text": ["a", "b"]}).to_csv(scratch / "a.csv")
    assert texts_of(scratch / "a.csv") == ["a", "b"]
