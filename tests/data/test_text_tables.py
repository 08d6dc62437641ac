"""Tables as people have them: compression, bad rows, nested columns, folders."""

import gzip
import json

import pandas as pd
import pyarrow as pa
import pytest

from r2mae.data.bad_rows import BadRows
from r2mae.data.text_files import expand_texts, read_pieces
from r2mae.errors import InputError

pytestmark = pytest.mark.usefixtures("scratch")


def texts_of(path, column="text", bad_rows=None, **options):
    pieces = read_pieces([path], column, "file", options, bad_rows=bad_rows)
    return [piece.text for piece in pieces]


def compressed(name, content):
    """Write a compressed file as its name says."""
    if name.endswith(".gz"):
        with gzip.open(name, "wb") as file:
            file.write(content)
    else:
        with pa.OSFile(name, "wb") as raw, pa.CompressedOutputStream(raw, "zstd") as s:
            s.write(content)


def test_bad_rows_of_json_lines_are_skipped_on_request(scratch):
    path = scratch / "a.jsonl"
    rows = ['{"text": "one"}', "{broken", '["a", "list"]', '{"text": null}']
    path.write_text("\n".join([*rows, '{"text": "two"}', '{"text": "three"}']))
    with pytest.raises(InputError, match="readable as json"):
        texts_of(path)
    bad_rows = BadRows(skip=True)
    assert texts_of(path, bad_rows=bad_rows) == ["one", "two", "three"]
    assert "3 bad rows" in bad_rows.note


@pytest.mark.parametrize("start", [(0, 0), (1, 1)])
def test_a_table_of_mostly_bad_rows_is_refused_before_any_is_read(scratch, start):
    """Malformed rows and those without text together; also where reading resumes."""
    (scratch / "good.txt").write_text("good")
    path = scratch / "a.jsonl"
    rows = ['{"text": "one"}', "{broken", "[]", '{"text": null}']

    def read():
        paths = [scratch / "good.txt", path]
        bad_rows = BadRows(skip=True)
        pieces = read_pieces(paths, "text", "file", {}, start, bad_rows)
        return [piece.text for piece in pieces]

    path.write_text("\n".join(rows))
    with pytest.raises(InputError) as error:
        read()
    rule = f"{path} must be right in at least half of 4 rows, got 3 bad rows: "
    assert str(error.value).startswith(rule)
    assert str(error.value).endswith("Mend them.")
    path.write_text("\n".join([*rows, '{"text": "two"}', '{"text": "three"}']))
    assert read()[-2:] == ["two", "three"]


def test_rows_of_other_bytes_are_skipped_on_request(scratch):
    path = scratch / "a.csv"
    path.write_bytes(b"text,n\ncaf\xe9,1\nplain,2\n")
    with pytest.raises(InputError, match="0xe9 at offset 10"):
        texts_of(path)
    bad_rows = BadRows(skip=True)
    assert texts_of(path, bad_rows=bad_rows) == ["plain"]
    assert bad_rows.numbers == [0]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_files_are_read(scratch, suffix):
    contents = {
        "a.csv": b"text,n\none,1\n",
        "a.tsv": b"text\tn\none\t1\n",
        "a.jsonl": b'{"text": "one"}\n',
        "a.txt": b"one",
        "a.parquet": pd.DataFrame({"text": ["one"]}).to_parquet(),
    }
    for name, content in contents.items():
        compressed(name + suffix, content)
    paths = expand_texts(["."])
    assert len(paths) == len(contents)
    for path in paths:
        assert texts_of(path) == ["one"]
    damaged = (scratch / f"a.csv{suffix}").read_bytes()[:-6]
    (scratch / f"a.csv{suffix}").write_bytes(damaged)
    with pytest.raises(InputError, match="must be a complete"):
        texts_of(scratch / f"a.csv{suffix}")


@pytest.mark.parametrize("is_stream", [True, False])
def test_arrow_files_are_read(scratch, is_stream):
    table = pa.table({"text": ["one", "two"]})
    new = pa.ipc.new_stream if is_stream else pa.ipc.new_file
    with pa.OSFile("a.arrow", "wb") as file, new(file, table.schema) as writer:
        writer.write_table(table)
    assert texts_of(scratch / "a.arrow") == ["one", "two"]


def test_nested_columns_are_named_with_dots(scratch):
    path = scratch / "a.jsonl"
    rows = [{"meta": {"body": {"text": text}, "n": 1}} for text in ("one", "two")]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert texts_of(path, "meta.body.text") == ["one", "two"]
    with pytest.raises(InputError, match=r"meta\.body\.text, meta\.n"):
        texts_of(path, "text")


def test_folders_below_folders_are_read(scratch):
    for name in (
        "a.txt",
        "b/c/d.txt",
        "b/e.jsonl",
        ".git/f.txt",
        "b/._g.txt",
        "b/h.py",
    ):
        (scratch / name).parent.mkdir(parents=True, exist_ok=True)
        (scratch / name).write_text('{"text": "x"}')
    (scratch / "b" / "loop").symlink_to(scratch)
    (scratch / "b" / "state.json").write_text("{}")  # of datasets.save_to_disk
    (scratch / "runs" / "one").mkdir(parents=True)
    for name in ("run.json", "other.json"):
        (scratch / "runs" / "one" / name).write_text("{}")
    found = [path.relative_to(scratch) for path in expand_texts([str(scratch)])]
    assert [str(path) for path in found] == ["a.txt", "b/c/d.txt", "b/e.jsonl"]


def test_utf_16_tables_are_read(scratch):
    (scratch / "a.csv").write_text("text,n\nÀ la carte,1\n", encoding="utf-16")
    assert texts_of(scratch / "a.csv") == ["À la carte"]
