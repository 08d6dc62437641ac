"""The layer that `--layer auto` reads is chosen without the test split."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from r2mae.data.arrays import ArraySource
from r2mae.errors import InputError
from r2mae.evaluation.choose_layer import choose_layer, hold_out


class ThreeLayers(nn.Module):
    """Layer n returns column n of the samples, and its opposite."""

    num_layers = 3

    def __init__(self, layer=3):
        super().__init__()
        self.layer = layer
        self.unused = nn.Parameter(torch.zeros(1))

    def at_layer(self, layer):
        return ThreeLayers(layer)

    def embed(self, batch):
        column = batch["values"][:, self.layer - 1]
        return torch.stack([column, 1 - column], dim=1)


class TrainOnly:
    """A wing that opens the training split alone."""

    def __init__(self, source):
        self.source = source

    def open_split(self, recipe, split):
        assert split == "train"
        return self.source


def make_run(labels):
    """A run of which only layer 2 tells classes apart."""
    draw = np.random.default_rng(0)
    values = draw.random((len(labels), 3)).astype(np.float32)
    values[:, 1] = labels + 0.1 * values[:, 1]
    wing = TrainOnly(ArraySource({"values": values}, labels, ["a", "b"]))
    return SimpleNamespace(wing=wing, model=ThreeLayers())


def test_the_most_accurate_layer_is_chosen_and_all_scores_are_reported():
    run = make_run(np.arange(100) % 2)
    choice = choose_layer(run, None, None, ["knn", "linear_probe"])
    assert (choice.layer, choice.trained, choice.held_out) == (2, 80, 20)
    assert choice.accuracy[2] == {"knn": {"all": 1.0}, "linear_probe": {"all": 1.0}}
    assert set(choice.accuracy) == {1, 2, 3}
    assert max(choice.accuracy[n]["knn"]["all"] for n in (1, 3)) < 0.9
    report = choice.to_dict()
    assert report["accuracy"]["2"]["knn"] == {"all": 1.0}


@pytest.mark.parametrize(
    ("tasks", "scored"),
    [
        (["knn"], {"knn"}),
        (["attentive_probe"], {"linear_probe"}),
        (["clustering"], {"linear_probe"}),
    ],
)
def test_the_named_probes_make_the_choice(tasks, scored):
    choice = choose_layer(make_run(np.arange(40) % 2), None, None, tasks)
    assert set(choice.accuracy[1]) == scored


def test_probes_of_the_choice_have_as_many_labels_as_those_it_is_for():
    labels = np.arange(200) % 2
    draw = np.random.default_rng(0)
    values = np.stack([labels, np.zeros(200), labels], axis=1).astype(np.float32)
    values[:, 0] += 0.1 * draw.random(200)
    values[:, 2] += 1.2 * draw.standard_normal(200)  # needs many labels
    run = make_run(labels)
    run.wing.source = ArraySource({"values": values}, labels, ["a", "b"])
    choice = choose_layer(run, None, None, ["knn"], [2, None, 500])
    for by_count in (scores["knn"] for scores in choice.accuracy.values()):
        assert list(by_count) == ["2", "all", "500"]  # 500 are not there: 80 are used
    assert choice.accuracy[3]["knn"]["2"] < choice.accuracy[3]["knn"]["all"]
    assert choice.layer == 1


def test_of_equal_layers_the_last_is_chosen():
    run = make_run(np.arange(40) % 2)
    run.wing.source = ArraySource(
        {"values": np.repeat(np.arange(40)[:, None] % 2, 3, axis=1).astype(np.float32)},
        np.arange(40) % 2,
        ["a", "b"],
    )
    assert choose_layer(run, None, None, ["knn"]).layer == 3


def test_a_fifth_of_each_class_is_held_out():
    labels = np.repeat([0, 1, 2], [50, 12, 4])
    fitted, held_out = hold_out(labels)
    assert np.bincount(labels[held_out], minlength=3).tolist() == [10, 2, 0]
    assert sorted([*fitted, *held_out]) == list(range(66))


def test_at_most_10000_samples_are_used():
    fitted, held_out = hold_out(np.zeros(20_000, dtype=np.int64))
    assert (len(fitted), len(held_out)) == (8_000, 2_000)


def test_too_few_samples_are_refused():
    with pytest.raises(InputError, match="at least 5 labelled samples of a class"):
        hold_out(np.repeat(np.arange(9), 4))
