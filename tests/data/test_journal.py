"""The journal of a build: the state written last, or none."""

import pytest

from r2mae.data.journal import Journal


def test_the_state_written_last_is_read_back(tmp_path):
    journal = Journal(tmp_path)
    assert journal.read() is None
    journal.write({"file": 1})
    journal.write({"file": 2, "names": ["a"]})
    assert Journal(tmp_path).read() == {"file": 2, "names": ["a"]}
    journal.delete()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", '{"file": 1', "[1]", "3"])
def test_a_damaged_journal_counts_as_none(tmp_path, text):
    (tmp_path / "journal.json").write_text(text)
    assert Journal(tmp_path).read() is None
