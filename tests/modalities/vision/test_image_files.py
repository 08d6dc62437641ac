"""Issue 19, item 2: which files of a folder are images of which split and class."""

import json
import os

import pytest
from PIL import Image

from r2mae.cli.main import main
from r2mae.data.card import load_card
from r2mae.errors import InputError
from r2mae.modalities.vision.image_records import open_records
from tests.conftest import DEMO, TINY

CARD = load_card("image_folder")
CLUTTER = (
    ".ipynb_checkpoints/x.png",
    ".Trash-1000/files/y.png",
    "@eaDir/cat/1.png",
    "__MACOSX/cat/1.png",
    "cat/._0.png",
    "cat/.hidden/z.png",
)


def folder(root, *names, size=(8, 8)):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size, number % 256).save(path)
    return root


def classes(root, split="train"):
    records = open_records(CARD, str(root), split)
    return sorted(records.class_names[label] for label in records.labels.tolist())


def test_case_3_symlinked_class_folders_are_followed(tmp_path):
    folder(tmp_path / "elsewhere", "a/0.png", "a/1.png", "b/2.png")
    folder(tmp_path / "root/train", "cat/3.png")
    for name, target in {"dog": "a", "ant": "b"}.items():
        (tmp_path / "root/train" / name).symlink_to(tmp_path / "elsewhere" / target)
    assert classes(tmp_path / "root") == ["ant", "cat", "dog", "dog"]


def test_case_3_loops_of_links_end(tmp_path):
    folder(tmp_path / "train", "cat/0.png", "dog/1.png")
    (tmp_path / "train/cat/again").symlink_to(tmp_path / "train")
    (tmp_path / "train/dog/self").symlink_to(tmp_path / "train/dog")
    assert classes(tmp_path) == ["cat", "dog"]


def test_folders_that_link_to_each_other_end(tmp_path):
    folder(tmp_path / "train", "cat/0.png", "dog/1.png")
    (tmp_path / "train/cat/other").symlink_to(tmp_path / "train/dog")
    (tmp_path / "train/dog/other").symlink_to(tmp_path / "train/cat")
    assert classes(tmp_path) == ["cat", "cat", "dog", "dog"]


def test_a_link_to_nothing_is_named(tmp_path):
    folder(tmp_path / "train", "cat/0.png")
    (tmp_path / "train/cat/1.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(InputError, match=r"cat/1.png must be a file, got a link to"):
        classes(tmp_path)


def test_case_4_hidden_files_are_no_samples(tmp_path):
    folder(tmp_path / "train", "cat/0.png", "dog/1.png", *CLUTTER)
    assert classes(tmp_path) == ["cat", "dog"]
    (tmp_path / "._train.parquet").write_bytes(b"resource fork")
    assert classes(tmp_path) == ["cat", "dog"]


def test_an_unreadable_folder_is_named(tmp_path, monkeypatch):
    folder(tmp_path / "train", "cat/0.png", "dog/1.png")
    scandir = os.scandir

    def forbidden(place):
        if str(place).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(InputError, match="dog must be readable, got: Permission"):
        classes(tmp_path)


def test_a_test_folder_is_no_class_of_the_training_images(tmp_path):
    folder(tmp_path, "cat/0.png", "dog/1.png", "test/cat/2.png")
    with pytest.raises(InputError, match=r"must hold train/ beside test/, got none"):
        classes(tmp_path)


def check(root, capsys, *settings):
    overrides = [*TINY, f"data.root={root}", "data.card=image_folder", *settings]
    arguments = [part for one in overrides for part in ("--set", one)]
    code = main(["check", str(DEMO), *arguments, "--json"])
    output = capsys.readouterr()
    assert code == 0, output.err
    return json.loads(output.out)["data"]


def test_issue_19_2_check_lists_splits_classes_and_what_is_not_read(tmp_path, capsys):
    images = [f"train/{name}/{n}.png" for n in range(15) for name in ("cat", "dog")]
    folder(tmp_path, *images, "train/cat/more.png", "test/dog/0.png")
    folder(tmp_path, "validation/dog/0.png")
    (tmp_path / "train/cat/notes.txt").touch()
    (tmp_path / "train/cat/raw.heic").touch()
    data = check(tmp_path, capsys, "data.held_out=0.1")
    assert data["splits"] == "train 28, held out 3, test 1"
    assert data["labels"] == "2 classes in train and held out: cat 16, dog 15"
    expected = (
        "validation/, which is neither train nor test; 1 files .heic; 1 files .txt"
    )
    assert data["not read"] == expected


def test_issue_19_2_many_classes_are_summed_up(tmp_path, capsys):
    names = [f"train/c{n:02}/{i}.png" for n in range(14) for i in range(1 + n % 5)]
    folder(tmp_path, *names)
    data = check(tmp_path, capsys, "data.held_out=0.2")
    assert data["labels"] == (
        "14 classes in train and held out, 3 images each in the median; "
        "smallest c00 1, c05 1, c10 1; largest c13 4, c04 5, c09 5"
    )
    for name in names:  # now one image each
        if not name.endswith("/0.png"):
            (tmp_path / name).unlink()
    equal = check(tmp_path, capsys, "data.held_out=0.7")["labels"]
    assert equal == "14 classes in train and held out, 1 images each"
    assert data["splits"].endswith("no test split: set data.test_share to evaluate")


def test_issue_19_2_a_share_is_the_test_split(scratch, capsys):
    images = [f"{name}/{n}.png" for n in range(20) for name in ("cat", "dog")]
    folder(scratch / "images", *images)
    overrides = (
        *TINY,
        "data.card=image_folder",
        "data.root=images",
        "data.test_share=0.25",
        "schedule={steps: 2}",
        "watch={samples: 8, knn: false, linear_probe: false}",
        "data.held_out=0.3",
    )
    arguments = [part for one in overrides for part in ("--set", one)]
    assert main(["pretrain", str(DEMO), "--name", "run", *arguments]) == 0
    code = main(["evaluate", "runs/run", "--task", "knn", "--json"])
    output = capsys.readouterr()
    assert code == 0, output.err
    names = []
    for split in ("train", "test"):
        file = f"{split}_features.npy"
        assert main(["embed", "runs/run", split, "-o", f"x_{file}"]) == 0
        rows = (scratch / f"x_{split}_features.names.csv").read_text().splitlines()
        names.append({row.split(",")[0] for row in rows[1:]})
    assert [len(part) for part in names] == [30, 10]
    assert not names[0] & names[1]


def test_issue_19_2_a_folder_without_a_test_split_offers_a_share(tmp_path):
    folder(tmp_path, "cat/0.png", "dog/1.png")
    with pytest.raises(InputError, match=r"or set data.test_share, such as 0.2"):
        open_records(CARD, str(tmp_path), "test")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train/cat/0.png", "test/cat/1.png"), "null for data with a test split"),
        (("cat/0.png", "dog/1.png"), "must leave images on both sides of 2"),
    ],
)
def test_a_share_that_cannot_be(tmp_path, names, message):
    from r2mae.modalities.vision.images import open_images
    from r2mae.modalities.vision.schema import VisionData

    folder(tmp_path, *names)
    section = VisionData(
        card="image_folder", root=str(tmp_path), image_size=8, test_share=0.1
    )
    with pytest.raises(InputError, match=message):
        open_images(section, "test")
