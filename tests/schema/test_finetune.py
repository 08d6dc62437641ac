"""What the labels are, and which settings exclude each other."""

import pytest
from pydantic import ValidationError

from r2mae.errors import InputError
from r2mae.schema.finetune import TuneSection
from r2mae.schema.section import validate


@pytest.mark.parametrize(
    ("settings", "target"),
    [
        ({}, "class"),
        ({"regression": True}, "regression"),
        ({"multi_label": True, "num_classes": 3}, "multi_label"),
        ({"ordinal": True, "class_weights": "balanced"}, "ordinal"),
        ({"ordinal": ("low", "high"), "label_smoothing": 0.1}, "ordinal"),
    ],
)
def test_target(settings, target):
    assert TuneSection(**settings).target == target


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"regression": True, "ordinal": True}, "regression and ordinal"),
        ({"multi_label": True, "ordinal": ("a", "b")}, "multi_label and ordinal"),
        ({"freeze": True, "last_layers": 1}, "freeze and last_layers"),
        ({"multi_label": True, "label_smoothing": 0.1}, "label_smoothing with multi"),
        (
            {"multi_label": True, "class_weights": "balanced"},
            "class_weights with multi",
        ),
        ({"regression": True, "num_classes": 3}, "num_classes with regression"),
        ({"ordinal": ("a", "a")}, "at least 2 different classes"),
        ({"ordinal": ("a",)}, "at least 2 different classes"),
    ],
)
def test_what_is_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        TuneSection(**settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ordinal": [1.5, 2]}, "ordinal.0 must be text, got 1.5"),
        (
            {"class_weights": {"bad": None}},
            "class_weights.bad must be a number, got null",
        ),
        ({"class_weights": "balance"}, "Did you mean balanced"),
    ],
)
def test_the_item_inside_is_named(settings, words):
    with pytest.raises(InputError, match=words):
        validate(TuneSection, settings, "recipe.yaml")


def test_classes_that_are_numbers_may_be_listed():
    assert validate(TuneSection, {"ordinal": [3, 2, 1]}, "x").ordinal == ("3", "2", "1")
