"""Cached tables: read as written, and built again when they are damaged."""

import json

import pytest

from r2mae.data.tables import cached_table
from r2mae.data.text_tables import read_table
from r2mae.errors import InputError

TEXTS = [f"text number {number}" for number in range(500)]


@pytest.fixture
def source(scratch):
    file = scratch / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return file


def arrow_file(scratch):
    (file,) = (scratch / "cache").rglob("*.arrow")
    return file


def truncate(file):
    file.write_bytes(file.read_bytes()[:1000])


def empty(file):
    file.write_bytes(b"")


def flip_offset(file):
    content = bytearray(file.read_bytes())
    content[800:804] = b"\xff\xff\xff\xff"
    file.write_bytes(content)


def replace_text(file):
    file.write_bytes(file.read_bytes().replace(b"number 77", b"number 66"))


def delete(file):
    file.unlink()


@pytest.mark.parametrize(
    "damage",
    [truncate, empty, flip_offset, replace_text, delete],
    ids=lambda f: f.__name__,
)
def test_a_damaged_table_is_built_again(scratch, source, damage):
    assert list(read_table(source, {})["text"]) == TEXTS
    damage(arrow_file(scratch))
    assert list(read_table(source, {})["text"]) == TEXTS


@pytest.mark.parametrize("content", ["", "[]", '{"rows_0.arrow": 3}', '{"no": "x"}'])
def test_an_unfinished_table_is_built_again(scratch, source, content):
    read_table(source, {})
    arrow_file(scratch).with_name("complete.json").write_text(content)
    assert list(read_table(source, {})["text"]) == TEXTS


def test_a_table_is_kept_by_content_and_options(scratch, source):
    read_table(source, {})
    file = arrow_file(scratch)
    written = file.stat().st_mtime_ns
    source.touch()
    read_table(source, {})
    assert arrow_file(scratch).stat().st_mtime_ns == written
    assert not list((scratch / "cache").rglob("working"))
    table = scratch / "a.csv"
    table.write_text("a;b\n1;2\n")
    assert read_table(table, {}).column_names == ["a;b"]
    assert read_table(table, {"separator": ";"}).column_names == ["a", "b"]


def test_several_files_are_read_in_their_order(scratch):
    files = [scratch / "b.csv", scratch / "a.csv"]
    for number, file in enumerate(files):
        file.write_text(f"a\n{number}\n")
    assert cached_table("csv", files, {})["a"][:] == [0, 1]


def test_nothing_is_kept_of_a_file_that_cannot_be_read(scratch):
    file = scratch / "x.parquet"
    file.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"x\.parquet must be readable as parquet"):
        read_table(file, {})
    assert not list((scratch / "cache" / "r2mae" / "tables").iterdir())
