import numpy as np
import pytest

from r2mae.datasets.source import batch_labels
from r2mae.recipe import open_split, open_training_data
from r2mae.recipe.tasks import choose_labelled, class_weights, find_classes, finetuning_parts
from r2mae.schema.recipe import load_recipe
from r2mae.training.run_folder import RunFolder
from tests.conftest import ROOT

RECIPE = str(ROOT / "recipes" / "vision" / "digits_finetune.yaml")


def load(*overrides):
    return load_recipe(RECIPE, ["model.init_from=null", *overrides])


def test_balanced_weights_make_classes_count_alike():
    weights = class_weights("balanced", ["a", "b", "c"], np.array([0] * 6 + [1] * 3 + [2]))
    assert (weights * np.array([6, 3, 1])).tolist() == pytest.approx([10 / 3] * 3)
    assert class_weights({"c": 2.5}, ["a", "b", "c"], np.array([0])).tolist() == [1, 1, 2.5]
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


def test_labels_are_those_of_the_images(scratch):
    """From the stream through the few chosen to the head's class numbers."""
    parts = finetuning_parts(load("repeat.labels_per_class=[3]"), RunFolder("runs/x"))
    objective = parts.objective(None)
    split = open_split(load(), "train")
    import torch

    batch = parts.train.load(torch.arange(30), torch.arange(30), 0)
    targets = objective.prepare(parts.model, batch, 0)["targets"]
    assert targets.tolist() == split.labels[batch["indices"]].tolist() == parts.train.labels.tolist()
    assert batch_labels(parts.train, batch).tolist() == targets.tolist()
    held = parts.held_out.load(torch.arange(40), None, 0)
    assert not set(held["indices"].tolist()) & set(batch["indices"].tolist())


class Named:
    def __init__(self, class_names):
        self.class_names = class_names
        self.labels = np.array(list(class_names))


def test_classes_come_by_number_or_by_name():
    assert find_classes(load("tune.num_classes=10"), open_split(load(), "train")).tolist() == list(range(10))
    words = Named({77: "dog", 5: "cat", 900: "bird"})
    assert find_classes(load(), words).tolist() == [900, 5, 77]
    assert find_classes(load(), Named({100: "100", 20: "20", 3: "3"})).tolist() == [3, 20, 100]
    # Names that a column gives to 0, 1, 2 do not move them.
    assert find_classes(load(), Named({0: "ship", 1: "car", 2: "plane"})).tolist() == [0, 1, 2]
