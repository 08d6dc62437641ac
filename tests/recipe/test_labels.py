"""Classes of a recipe, their order, number and weights."""

import numpy as np
import pytest
import torch

from r2mae.data.arrays import ArraySource
from r2mae.errors import InputError
from r2mae.recipe.assembly import open_split, open_training_data
from r2mae.recipe.labels import (
    choose_labelled,
    class_weights,
    find_classes,
    find_labels,
)
from r2mae.recipe.load import load_recipe
from r2mae.recipe.targets import check_table
from r2mae.recipe.tasks import finetuning_parts
from r2mae.training.run_folder import RunFolder
from tests.conftest import ROOT

RECIPE = str(ROOT / "recipes" / "vision" / "digits_finetune.yaml")


def load(*overrides):
    return load_recipe(RECIPE, ["model.init_from=null", *overrides])


class Named:
    def __init__(self, class_names):
        self.class_names = class_names
        self.labels = np.array(list(class_names))


def source(names, labels):
    values = {"x": np.zeros((len(labels), 1))}
    return ArraySource(values, labels=np.array(labels), class_names=names)


def test_balanced_weights_make_classes_count_alike():
    weights = class_weights(
        "balanced", ["a", "b", "c"], np.array([0] * 6 + [1] * 3 + [2])
    )
    assert (weights * np.array([6, 3, 1])).tolist() == pytest.approx([10 / 3] * 3)
    assert class_weights({"c": 2.5}, ["a", "b", "c"], np.array([0])).tolist() == [
        1,
        1,
        2.5,
    ]
    assert class_weights(None, ["a", "b"], np.array([0])) is None


@pytest.mark.parametrize("count", [1, 5, 20])
def test_few_labels_are_as_many_of_each_class_and_follow_the_seed(count):
    recipe = load(f"repeat.labels_per_class=[{count}]")
    train = open_training_data(recipe)[0]
    chosen = choose_labelled(recipe, train)
    assert np.bincount(chosen.labels).tolist() == [count] * 10
    other = choose_labelled(load(f"repeat.labels_per_class=[{count}]", "seed=1"), train)
    assert not np.array_equal(chosen.rows, other.rows)
    assert np.array_equal(chosen.rows, choose_labelled(recipe, train).rows)


def test_classes_come_by_number_or_by_name():
    assert find_classes(
        load("tune.num_classes=10"), open_split(load(), "train")
    ).tolist() == list(range(10))
    words = Named({77: "dog", 5: "cat", 900: "bird"})
    assert find_classes(load(), words).tolist() == [900, 5, 77]
    assert find_classes(load(), Named({100: "100", 20: "20", 3: "3"})).tolist() == [
        3,
        20,
        100,
    ]
    # Names that a column gives to 0, 1, 2 do not move them.
    assert find_classes(load(), Named({0: "ship", 1: "car", 2: "plane"})).tolist() == [
        0,
        1,
        2,
    ]


def test_ordered_classes_follow_the_recipe():
    data = source(["good", "bad", "fair"], [0, 1, 2])
    recipe = load("tune.target={ordinal: {order: [bad, fair, good]}}")
    assert find_classes(recipe, data).tolist() == [1, 2, 0]
    numbers = source(["10", "9"], [0, 1])
    assert find_classes(load("tune.target=ordinal"), numbers).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ("ordinal", "must be .* from the lowest.*got ordinal for bad, fair, good"),
        ("{ordinal: {order: [bad, good]}}", "ordinal.order must list .* check fair"),
        ("{ordinal: {order: [bad, fair, good, best]}}", "check best"),
    ],
)
def test_other_orders_are_refused(order, words):
    data = source(["good", "bad", "fair"], [0, 1, 2])
    with pytest.raises(InputError, match=words):
        find_classes(load(f"tune.target={order}"), data)


def test_labels_of_samples_with_several():
    several = ("tune={target: multi_label}", "repeat.labels_per_class=[all]")
    data = source(["a;b", "c", ";"], [0, 1, 2])
    assert find_labels(load(*several), data) == ["a", "b", "c"]
    with pytest.raises(InputError, match=r"tune\.num_classes must be 3"):
        find_labels(load(*several, "tune.num_classes=2"), data)
    with pytest.raises(InputError, match="must hold labels"):
        find_labels(load(*several), source([";"], [0]))
    with pytest.raises(InputError, match="labels differ .* got a, b for all"):
        find_labels(load(*several), source(["a;b", "b;a"], [0, 1]))


def test_thresholds_start_at_the_shares_of_the_training_labels(scratch):
    recipe = load("tune.target=ordinal", "repeat.labels_per_class=[all]")
    parts = finetuning_parts(recipe, RunFolder("runs/x"))
    counts = np.bincount(parts.train.labels) + 1
    started = parts.model.head[-1](torch.zeros(1, 1)).exp()[0]
    np.testing.assert_allclose(started.detach(), counts / counts.sum(), rtol=1e-5)


@pytest.mark.parametrize("target", ["token_tags", "answer_span"])
def test_labels_of_texts_are_refused_elsewhere(target):
    with pytest.raises(InputError, match=f"target must not be {target} for data"):
        check_table(load(f"tune={{target: {target}}}", "repeat={seeds: 1}"))
