"""A folder of images: listed with one look at each file, once a process, and again when it changes."""

import os
import time
from pathlib import Path

import pytest

from r2mae.data.fingerprint import fingerprint_files
from r2mae.errors import InputError
from r2mae.modalities.vision.image_folder import FolderRecords

NAMES = ("a/1.png", "a-b/2.png", "a/b/3.JPG", "B/4.png", "a b/5.png", "ä/6.png")


@pytest.fixture
def folder(tmp_path):
    for size, name in enumerate(NAMES):
        add(tmp_path, name, size)
    (tmp_path / "empty/inner").mkdir(parents=True)
    age(tmp_path)
    return tmp_path


def add(folder, name, size=1):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def age(folder, seconds=60):
    """As if nothing had changed for a while."""
    before = time.time() - seconds
    for place, _, _ in os.walk(folder):
        os.utime(place, (before, before))


@pytest.fixture
def scans(monkeypatch):
    """Folders that are read, as they are."""
    places, scandir = [], os.scandir

    def counted(place):
        places.append(Path(place).name)
        return scandir(place)

    monkeypatch.setattr(os, "scandir", counted)
    return places


def test_images_are_in_the_order_of_paths_with_the_fingerprint_of_files(folder):
    records = FolderRecords(folder)
    paths = sorted(folder / name for name in NAMES)
    assert [records.name(row) for row in range(len(records))] == list(map(str, paths))
    assert records.fingerprint == fingerprint_files(folder, paths, contents=False)
    assert [len(records.read(row)) for row in range(len(records))] == [
        NAMES.index(str(path.relative_to(folder))) for path in paths
    ]


def test_a_fingerprint_is_of_names_below_the_folder_that_all_share(folder):
    files = [add(folder, f"one/deep/x/{number}.png") for number in range(2)]
    expected = fingerprint_files(folder / "one/deep/x", files, contents=False)
    assert FolderRecords(folder / "one").fingerprint == expected


def test_a_relative_folder_gives_relative_names(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert FolderRecords(Path()).name(0) == str(Path("B/4.png"))
    monkeypatch.chdir(folder / "a")
    assert FolderRecords(Path()).name(0) == "1.png"


def test_files_are_not_looked_at_one_by_one(folder, monkeypatch):
    for number in range(200):
        add(folder, f"a/{number}.png")
    looks, stat, lstat = [], os.stat, os.lstat
    monkeypatch.setattr(os, "stat", lambda *a, **k: looks.append(a) or stat(*a, **k))
    monkeypatch.setattr(os, "lstat", lambda *a, **k: looks.append(a) or lstat(*a, **k))
    FolderRecords(folder)
    assert not [place for place, *_ in looks if str(place).endswith((".png", ".JPG"))]


def test_a_folder_is_listed_once(folder, scans):
    first = FolderRecords(folder)
    assert len(scans) == len(set(scans)) == 9
    again = FolderRecords(folder)
    assert len(scans) == 9
    assert again.fingerprint == first.fingerprint
    assert again.labels.tolist() == first.labels.tolist()


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: add(folder, "a/new.png"),
        lambda folder: add(folder, "empty/inner/new.png"),
        lambda folder: add(folder, "new/new.png"),
        lambda folder: (folder / "a/b/3.JPG").unlink(),
        lambda folder: (folder / "B/4.png").rename(folder / "B/new.png"),
        lambda folder: (folder / "a b").rename(folder / "new"),
    ],
)
def test_a_folder_that_has_changed_is_listed_again(folder, change):
    before = FolderRecords(folder)
    change(folder)
    after = FolderRecords(folder)
    paths = [path for path in folder.rglob("*") if path.suffix in (".png", ".JPG")]
    assert after.images == [str(path.relative_to(folder)) for path in sorted(paths)]
    assert after.fingerprint != before.fingerprint


def test_another_folder_of_the_same_age_in_its_place_is_listed_again(folder):
    for name, target in (("one", "x/1.png"), ("two", "x/2.png")):
        add(folder, f"{name}/{target}")
    age(folder)
    link = folder / "link"
    link.symlink_to("one")
    assert FolderRecords(link).images == ["x/1.png"]
    link.unlink()
    link.symlink_to("two")
    assert FolderRecords(link).images == ["x/2.png"]


def test_a_folder_that_has_just_changed_is_listed_each_time(folder, scans):
    add(folder, "a/new.png")  # the next file might get the same time
    for _ in range(2):
        FolderRecords(folder)
    assert len(scans) == 18


def test_a_link_to_itself_is_named(folder):
    (folder / "a/self.png").symlink_to("self.png")
    with pytest.raises(InputError, match=r"self\.png must be .* got"):
        FolderRecords(folder)
