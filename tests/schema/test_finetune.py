"""What the labels are, and which settings exclude each other."""

import re

import pytest
from pydantic import ValidationError

from r2mae.errors import InputError
from r2mae.recipe.targets import TASKS
from r2mae.schema.finetune import TuneSection
from r2mae.schema.section import validate
from r2mae.schema.target import TARGETS


def order(*names):
    return {"ordinal": {"order": list(names)}}


@pytest.mark.parametrize(
    ("settings", "target"),
    [
        ({}, "classes"),
        ({"target": "regression"}, "regression"),
        ({"target": "multi_label", "num_classes": 3}, "multi_label"),
        ({"target": "ordinal", "class_weights": "balanced"}, "ordinal"),
        ({"target": order("low", "high"), "label_smoothing": 0.1}, "ordinal"),
    ],
)
def test_target(settings, target):
    tune = validate(TuneSection, settings, "x")
    assert tune.target.name == target
    written = tune.model_dump(mode="json")
    assert written["target"] == settings.get("target", "classes")
    assert validate(TuneSection, written, "x") == tune


def test_every_target_is_a_choice_with_a_task_and_usual_score():
    for name, target in TARGETS.items():
        tune = validate(TuneSection, {"target": name}, "x")
        assert tune.target == target
        assert callable(TASKS[name].metrics.score)
    assert TASKS.keys() == TARGETS.keys()


@pytest.mark.parametrize(
    ("old", "now"),
    [
        ({"regression": True}, "regression is now tune.target: regression. Write"),
        ({"ordinal": True}, "ordinal is now tune.target: ordinal. Write"),
        (
            {"ordinal": ["low", "high"], "multi_label": False},
            'ordinal is now tune.target: {ordinal: {order: ["low", "high"]}}. Write',
        ),
    ],
)
def test_an_old_key_says_what_it_is_now(old, now):
    with pytest.raises(InputError, match=re.escape(now)):
        validate(TuneSection, old, "recipe.yaml")


def test_runs_of_classes_from_before_the_target_are_read():
    old = ("regression", "multi_label", "ordinal", "token_tags", "answer_span")
    document = dict.fromkeys(old, False) | {"freeze": True}
    assert validate(TuneSection, document, "x") == TuneSection(freeze=True)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"freeze": True, "last_layers": 1}, "freeze and last_layers"),
        (
            {"target": "multi_label", "label_smoothing": 0.1},
            "label_smoothing with target multi",
        ),
        (
            {"target": "multi_label", "class_weights": "balanced"},
            "class_weights with target multi",
        ),
        (
            {"target": "regression", "num_classes": 3},
            "num_classes with target regression",
        ),
        ({"target": order("a", "a")}, "at least 2 different classes"),
        ({"target": order("a")}, "at least 2 different classes"),
    ],
)
def test_what_is_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        TuneSection(**settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"target": order(1.5, 2)}, "ordinal.order.0 must be text, got 1.5"),
        ({"target": {"ordnal": {}}}, "target.ordnal must be a key .* mean ordinal"),
        ({"target": {"multi_label": {}}}, "target must be multi_label alone"),
        ({"target": order("a", "b") | {"classes": 1}}, "must be classes alone"),
        ({"target": "clases"}, "Did you mean classes"),
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
    tune = validate(TuneSection, {"target": order(3, 2, 1)}, "x")
    assert tune.target.order == ("3", "2", "1")
