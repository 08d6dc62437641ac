from pathlib import Path

import pytest

from r2mae.data.card import find_files, load_card, locate
from r2mae.errors import InputError
from r2mae.schema.card import Card

PLAIN = {"title": "t", "source": "s", "licence": "l", "modality": "vision"}
CARD = Card(
    files={
        "train": ("train/", "train-*.parquet", "./", "*.parquet"),
        "test": ("test/",),
    },
    **PLAIN,
)


def refusal(function, *arguments):
    with pytest.raises(InputError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("name", ["digits", "cifar10", "imagenet1k", "image_folder"])
def test_shipped_cards_load_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_card(name).title


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("digit", ["'digit'", "Did you mean digits?"]),
        ("imagenet", ["Did you mean imagenet1k or ", "image_folder?"]),
        ("cifar100", ["Did you mean cifar10?"]),
        ("zzz", ["Known: baron_mouse1, books_and_wikitext, brca1"]),
        ("", ["got ''", "Known:"]),
        ("..", ["Known:"]),
        ("missing/card.yaml", ["'missing/card.yaml'"]),
    ],
)
def test_unknown_cards(name, words):
    message = refusal(load_card, name)
    assert message.startswith("data.card must be a data card or the path of one, got ")
    for word in words:
        assert word in message


def test_a_card_of_ones_own(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "{title: t, source: s, licence: l, modality: vision, label_column: fine_label}"
    )
    assert load_card(str(path)).label_column == "fine_label"
    path.write_text("{title: t, source: s, modality: vision}")
    assert (
        refusal(load_card, str(path)) == f"{path}: licence must be given, got nothing."
    )


def test_root_wins_over_the_cards_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    card = Card(roots=("first", "second"), **PLAIN)
    assert locate(card, None) is None
    (tmp_path / "second").mkdir()
    assert locate(card, None) == Path("second")
    (tmp_path / "first").mkdir()
    assert locate(card, None) == Path("first")
    assert locate(card, "given") == Path(
        "given"
    )  # whether it exists is said by find_files


@pytest.mark.parametrize(
    ("present", "split", "folder", "files"),
    [
        (["train/a.png", "train-1.parquet"], "train", "train", []),
        (
            ["train-2.parquet", "train-1.parquet", "other.parquet"],
            "train",
            None,
            ["train-1.parquet", "train-2.parquet"],
        ),
        (
            [f"{x}.parquet" for x in "dafcbe"],
            "train",
            None,
            [f"{x}.parquet" for x in "abcdef"],
        ),
        (["cats/a.png"], "train", ".", []),
        (["test/a.png", "train/a.png"], "test", "test", []),
        (["Test/a.png", "Train/a.png"], "test", "Test", []),
        (["TRAIN/a.png", "train/a.png"], "train", "train", []),
    ],
)
def test_the_first_place_that_exists(tmp_path, present, split, folder, files):
    for name in present:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found_folder, found = find_files(CARD, tmp_path, split)
    assert found_folder == (None if folder is None else tmp_path / folder)
    assert found == [tmp_path / name for name in files]


@pytest.mark.parametrize(
    ("present", "split", "words"),
    [
        (
            [],
            "test",
            ["must hold test/ for split 'test'", "got nothing", "Check the path."],
        ),
        (["train/a.png", "readme.txt"], "test", ["got readme.txt, train."]),
        (
            ["train/a.png"],
            "validation",
            ["a split that the card does not have", "'validation'"],
        ),
        (["test"], "test", ["got test."]),  # a file where a folder is meant
        ([f"{number:02}.txt" for number in range(20)], "test", ["07.txt."]),
    ],
)
def test_roots_that_do_not_hold_the_split(tmp_path, present, split, words):
    for name in present:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    message = refusal(find_files, CARD, tmp_path, split)
    assert message.startswith(f"data.root {tmp_path} must hold ")
    for word in words:
        assert word in message


def test_root_must_be_a_folder(tmp_path):
    (tmp_path / "file").touch()
    for name in ("missing", "file"):
        message = refusal(find_files, CARD, tmp_path / name, "train")
        assert (
            message
            == f"data.root must be an existing folder, got '{tmp_path / name}'. Check the path."
        )
