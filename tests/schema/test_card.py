from pathlib import Path

import pytest

from r2mae.errors import InputError
from r2mae.schema.card import Card
from r2mae.schema.document import load_document
from r2mae.schema.section import validate

CARDS = sorted((Path(__file__).resolve().parents[2] / "data").glob("*/card.yaml"))
PLAIN = {"title": "t", "source": "s", "licence": "l", "modality": "m"}


def test_every_shipped_card_is_valid():
    assert {path.parent.name for path in CARDS} >= {
        "digits",
        "cifar10",
        "imagenet1k",
        "image_folder",
    }
    for path in CARDS:
        card = validate(Card, load_document(path), str(path))
        assert len(card.mean) == len(card.std)
        assert all(0 < value < 1 for value in (*card.mean, *card.std))
        if card.modality == "vision":
            assert card.embedded or card.files, path
            assert set(card.num_samples) <= set(card.files)


def test_defaults():
    card = validate(Card, PLAIN, "card.yaml")
    assert (card.image_column, card.label_column, card.hub, card.embedded) == (
        "image",
        "label",
        None,
        None,
    )
    assert card.splits == {"train": "train", "test": "test"}
    assert (card.files, card.roots, card.num_samples, card.sha256) == ({}, (), {}, {})


def test_a_card_may_have_no_labels():
    assert (
        validate(Card, PLAIN | {"label_column": None}, "card.yaml").label_column is None
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"licnce": "x"},
            "licnce must be a key of the document. Did you mean licence?",
        ),
        ({"title": 3}, "title must be text, got 3."),
        ({"mean": 0.5}, "mean must be a list, got 0.5."),
        ({"std": ["x"]}, 'std.0 must be a number, got "x".'),
        ({"files": {"train": "train/"}}, 'files.train must be a list, got "train/".'),
        ({"files": ["train/"]}, 'files must be a section of keys, got ["train/"].'),
        ({"files": {"train": [1]}}, "files.train.0 must be text, got 1."),
        (
            {"num_samples": {"train": 1.5}},
            "num_samples.train must be a whole number, got 1.5.",
        ),
        ({"roots": "here"}, 'roots must be a list, got "here".'),
        ({"splits": {"train": None}}, "splits.train must be text, got null."),
        ({"image_column": None}, "image_column must be text, got null."),
    ],
)
def test_bad_cards(change, sentence):
    with pytest.raises(InputError) as caught:
        validate(Card, PLAIN | change, "card.yaml")
    assert str(caught.value) == f"card.yaml: {sentence}"


@pytest.mark.parametrize("key", sorted(PLAIN))
def test_missing_keys(key):
    document = {name: value for name, value in PLAIN.items() if name != key}
    with pytest.raises(
        InputError, match=rf"card.yaml: {key} must be given, got nothing\."
    ):
        validate(Card, document, "card.yaml")
