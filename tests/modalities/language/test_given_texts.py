"""Texts of files that a user names."""

import pytest

from r2mae.data.tokenizer import save_tokenizer
from r2mae.errors import InputError
from r2mae.modalities.language.given_texts import Reading, open_given_texts
from r2mae.modalities.language.schema import LanguageData
from tests.conftest import make_texts
from tests.data.test_tokenizer import make_tokenizer


@pytest.fixture
def section(scratch):
    """A data section with a tokenizer, in a folder with three texts in books/."""
    (scratch / "tok").mkdir()
    save_tokenizer(make_tokenizer("bpe"), scratch / "tok")
    (scratch / "books" / "more").mkdir(parents=True)
    for name, text in zip(("b", "a", "more/c"), make_texts(3), strict=True):
        (scratch / "books" / f"{name}.txt").write_text(f"{text}\n{text}\n")
    (scratch / "books" / "notes.pdf").write_bytes(b"%PDF")
    return LanguageData(tokenizer="tok", length=64)


def names(source):
    return [source.name(index) for index in range(len(source))]


def lengths(source):
    return (source.starts[1:] - source.starts[:-1]).tolist()


def test_a_folder_has_a_text_a_file(section, scratch):
    source = open_given_texts(section, "books", Reading())
    assert names(source) == ["books/a.txt", "books/b.txt", "books/more/c.txt"]
    lines = open_given_texts(section, "books/a.txt", Reading())
    assert names(lines) == ["books/a.txt, line 1", "books/a.txt, line 2"]
    assert lengths(source)[0] > lengths(lines)[0]
    (scratch / "joined.txt").write_text((scratch / "books/a.txt").read_text() * 40)
    (scratch / "books/a.txt").write_text((scratch / "joined.txt").read_text())
    windows = open_given_texts(section, "books", Reading(long_texts="windows"))
    assert names(windows).count("books/a.txt") > 2
    with pytest.raises(InputError, match=r"^books/a\.txt must have at most 64 tokens"):
        open_given_texts(section, "books", Reading(long_texts="error"))


def test_files_without_text_are_refused_or_left_out_up_to_half(section, scratch):
    (scratch / "books/a.txt").write_bytes(b"caf\xe9 in another encoding")
    with pytest.raises(InputError, match=r"books/a\.txt must .*--skip-bad-rows"):
        open_given_texts(section, "books", Reading())
    skip = Reading(skip_bad_rows=True)
    source = open_given_texts(section, "books", skip)
    assert names(source) == ["books/b.txt", "books/more/c.txt"]
    assert source.note.startswith("1 bad file: books/a.txt must ")
    (scratch / "books/b.txt").write_text("\n")
    with pytest.raises(InputError, match="books must be right in at least half of 3 f"):
        open_given_texts(section, "books", skip)


def test_a_folder_with_several_tables_is_refused(section, scratch):
    for name in ("d.csv", "e.csv"):
        (scratch / "books" / name).write_text("text\na text\n")
    words = r"got 5 files in books\. Name a \.txt with a text a line"
    with pytest.raises(InputError, match=words):
        open_given_texts(section, "books", Reading())


def test_a_file_of_empty_lines_is_refused(section, scratch):
    (scratch / "blank.txt").write_text("\n\n \n")
    with pytest.raises(
        InputError, match=r"blank\.txt must hold texts, got empty lines"
    ):
        open_given_texts(section, "blank.txt", Reading(skip_bad_rows=True))
