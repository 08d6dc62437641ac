"""Files below a folder."""

import os

import pytest

from r2mae.data.folder_files import check_link, is_hidden, list_files
from r2mae.errors import InputError


def names(folder, **options):
    return sorted(
        str(path.relative_to(folder)) for path in list_files(folder, **options)
    )


@pytest.fixture
def folder(tmp_path):
    for name in (
        "a.txt",
        "b/c/d.txt",
        ".git/e",
        "b/._f.txt",
        "@eaDir/g",
        "b/__MACOSX/h",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    return tmp_path


def test_hidden_files_and_clutter_are_left_out(folder):
    assert names(folder) == ["a.txt", "b/c/d.txt"]
    assert is_hidden("__MACOSX")
    assert not is_hidden("a.b")


def test_links_are_followed_but_in_no_circle(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "i.txt").write_text("x")
    (folder / "b" / "link").symlink_to(other)
    (folder / "b" / "loop").symlink_to(folder)
    (other / "back").symlink_to(folder / "b")
    assert names(folder) == ["a.txt", "b/c/d.txt", "b/link/i.txt"]


def test_folders_are_left_out_by_the_names_in_them(folder):
    assert names(folder, is_excluded=lambda found: "d.txt" in found) == ["a.txt"]


def test_a_link_to_nothing_is_refused(folder):
    link = folder / "b" / "gone.txt"
    link.symlink_to("nowhere")
    assert check_link(folder / "a.txt") == folder / "a.txt"
    with pytest.raises(InputError, match=r"gone\.txt must be a file, got a link to no"):
        check_link(link)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_closed_folder_is_refused(folder):
    (folder / "b").chmod(0)
    with pytest.raises(InputError, match="b must be readable, got: Permission denied"):
        names(folder)
    (folder / "b").chmod(0o700)


def test_a_file_is_no_folder(folder):
    with pytest.raises(InputError, match=r"a\.txt must be readable, got: Not a dir"):
        names(folder / "a.txt")
