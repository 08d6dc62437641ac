"""What lies at a path, for messages."""

import gzip
import json

import pytest

from r2mae.data.kinds import CELLS, kind_of_path, remedy_for

PACKED = gzip.compress(b">one\nACGT\n", mtime=0)


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.fa", b"\n>one\nACGT\n", "a FASTA file"),
        ("a.fa.gz", PACKED, "a FASTA file"),
        ("cut.gz", PACKED[:15], "a file"),
        ("torn.gz", PACKED[:12] + b"\xff" * 9, "a file"),
        ("a.maf", b"##maf version=1\na\ns a.b 0 1 + 1 A\n", "a MAF file"),
        ("a.png", b"\x89PNG", "a file"),
    ],
)
def test_files(tmp_path, name, data, kind):
    (tmp_path / name).write_bytes(data)
    assert kind_of_path(tmp_path / name) == kind


def test_nothing_is_there(tmp_path):
    assert kind_of_path(tmp_path / "none.fa") == "nothing"
    assert remedy_for("nothing") == "Check the path."


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({}, "a folder that is no store"),
        ({"store.json": "{}"}, "a store of cells"),
        ({"run.json": "{}"}, "a run"),
        ({"tokenizer.json": "{}"}, "a tokenizer"),
        ({"meta.json": {"format": "r2mae genome store 1"}}, "a genome's store"),
        ({"meta.json": {"format": "r2mae alignment store 2"}}, "an alignment's store"),
        (
            {"meta.json": {"format": "r2mae text store 1"}, "tokenizer.json": "{}"},
            "a store of text",
        ),
        ({"meta.json": "[1]"}, "a folder with a meta.json that says no kind of store"),
        ({"meta.json": "{"}, "a folder with a meta.json that says no kind of store"),
    ],
)
def test_folders(tmp_path, files, kind):
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / name).write_text(text)
    assert kind_of_path(tmp_path) == kind


def test_the_remedy_says_how_a_store_is_built():
    assert remedy_for("a MAF file").endswith("r2mae data build msa.")
    assert "recipe.yaml" in remedy_for("a run")
    assert remedy_for(CELLS).startswith("Stores are built of files: ")
