"""Files and folders that are complete, or not there."""

import contextlib
from pathlib import Path

import pytest

from r2mae.data.atomic import atomic_file, atomic_folder
from r2mae.errors import InputError

ONE, TWO = "0123456789abcdef", "fedcba9876543210"


def stopped(out, word):
    with contextlib.suppress(RuntimeError), atomic_folder(out, word) as work:
        (work / "part").write_text(word)
        raise RuntimeError


def test_what_a_stop_leaves_is_found_again_and_goes_when_the_files_change(tmp_path):
    stopped(tmp_path / "out", ONE)
    stopped(tmp_path / "out_b", ONE)  # another store, whose name begins alike
    with atomic_folder(tmp_path / "out", ONE) as work:
        assert (work / "part").read_text() == ONE
        (work / "part").unlink()
    (tmp_path / "out").rmdir()
    stopped(tmp_path / "out", ONE)
    with atomic_folder(tmp_path / "out", TWO) as work:
        assert list(work.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {
        "out",
        f".building_out_b_{ONE}",
    }
    (tmp_path / "out").rmdir()
    stopped(tmp_path / "out", "")
    assert {path.name for path in tmp_path.iterdir()} == {f".building_out_b_{ONE}"}


def test_a_file_is_whole_or_not_there(tmp_path):
    with (
        contextlib.suppress(RuntimeError),
        atomic_file(tmp_path / "a.csv") as unfinished,
    ):
        unfinished.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with atomic_file(tmp_path / "a.csv") as unfinished:
        unfinished.write_text("all")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [
        ("a.csv", "all")
    ]


def test_a_link_to_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    with atomic_folder(tmp_path / "out") as work:
        (work / "file").write_text("all")
    assert (tmp_path / "disk" / "file").read_text() == "all"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "out"]


@pytest.mark.parametrize("atomic", [atomic_file, atomic_folder])
def test_a_folder_that_holds_no_new_names_is_bad_input(atomic):
    with (
        pytest.raises(InputError, match="^/proc/out must be in a folder that can be"),
        atomic(Path("/proc/out")),
    ):
        pass
