"""Sizes and labels of stand-in data."""

import json
from collections import Counter

import pytest

from r2mae.data.stand_in import (
    HELD_OUT,
    class_names,
    data_settings,
    make_labels,
    num_samples,
)
from r2mae.recipe.load import load_recipe


def recipe(*settings, name="digits_finetune"):
    return load_recipe(name, ["model.init_from=null", *settings])


@pytest.mark.parametrize("batch", [16, 256])
def test_two_micro_batches_train_beside_what_is_held_out(batch):
    settings = (f"batch.global_samples={batch}", "batch.per_device_samples=null")
    pretrained = load_recipe("digits_demo", list(settings))
    trained = num_samples(pretrained) * (1 - HELD_OUT)
    assert trained >= max(2 * pretrained.per_device_samples, 24)


def test_each_class_has_the_labels_that_are_drawn():
    drawn = recipe("repeat.labels_per_class=[50, all]", "tune.num_classes=3")
    size = num_samples(drawn)
    labels = Counter(make_labels(drawn, size))
    assert set(labels) == {"class_0", "class_1", "class_2"}
    assert min(labels.values()) * (1 - HELD_OUT) >= 50


def test_classes_are_those_that_the_recipe_names():
    weighted = recipe("tune.class_weights={cat: 1.0, dog: 2.0}", "tune.num_classes=3")
    assert class_names(weighted) == ["cat", "dog", "class_0"]
    ordered = recipe("tune={target: {ordinal: {order: [low, mid, high]}}}")
    assert class_names(ordered) == ["low", "mid", "high"]
    assert len(class_names(load_recipe("digits_demo"))) == 2


def test_labels_of_a_regression_are_numbers_that_differ():
    settings = ("tune={target: regression}", "repeat.labels_per_class=[all]")
    numbers = [float(text) for text in make_labels(recipe(*settings), 4)]
    assert numbers == [0, 0.25, 0.5, 0.75]


def test_settings_are_read_back_as_they_were():
    values = {"root": "a folder", "test": ["chr1"], "card": None}
    settings = data_settings(values)
    parts = dict(setting.removeprefix("data.").split("=", 1) for setting in settings)
    assert {key: json.loads(text) for key, text in parts.items()} == values
