"""RandAugment, random erasing and repeated augmentation: functions of (seed, position)."""

import random

import numpy as np
import pytest
import torch
from timm.data.auto_augment import rand_augment_transform

from r2mae.data.source import StreamDataset
from r2mae.data.stream import Stream
from r2mae.errors import InputError
from r2mae.modalities.vision.images import open_images
from r2mae.modalities.vision.schema import VisionTuningData
from r2mae.recipe.load import load_recipe
from r2mae.recipe.training import _stream_dataset
from r2mae.schema.section import validate
from tests.conftest import ROOT

EVERYTHING = {"rand_augment": "rand-m9-mstd0.5-inc1", "erase": 0.5, "mixup": 0.8}


def section(channels=1, **augment):
    augment = {"crop_scale": [1.0, 1.0], "flip": False, **augment}
    data = {"card": "digits", "image_size": 8, "channels": channels}
    return validate(VisionTuningData, data | {"augment": augment}, "test")


def load(positions, seed=0, **augment):
    """Images of the digits at positions, in the order of the split."""
    images = open_images(section(**augment), "train")
    at = torch.tensor(positions)
    return images.load(at % len(images), at, seed)["images"]


def test_augmented_images_do_not_depend_on_batches_or_global_generators():
    straight = load(range(32), **EVERYTHING)
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    parts = [load(range(start, start + 8), **EVERYTHING) for start in (24, 0, 16, 8)]
    in_order = torch.cat([parts[1], parts[3], parts[2], parts[0]])
    assert torch.equal(in_order, straight)
    assert not torch.equal(load(range(32), seed=1, **EVERYTHING), straight)
    assert not torch.equal(load(range(1438, 1470), **EVERYTHING), straight)  # epoch 2


def test_global_generators_are_left_as_they_were():
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    load(range(8), **EVERYTHING)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])


@pytest.mark.parametrize("policy", ["rand-m10-inc1", "rand-m20-mmax20-inc1"])
def test_every_magnitude_can_be_drawn(policy):
    """timm keeps no bit of a pixel at the highest level of PosterizeIncreasing."""
    images = load(range(200), rand_augment=policy)
    assert images.flatten(1).any(dim=1).float().mean() > 0.9  # not black


def test_rand_augment_is_timms(monkeypatch):
    policies = []

    def record(policy, options):
        policies.append((policy, options))
        return rand_augment_transform(policy, options)

    monkeypatch.setattr("timm.data.auto_augment.rand_augment_transform", record)
    plain = load(range(64), channels=3)
    augmented = load(range(64), channels=3, rand_augment="rand-m9-n1-mstd0.25")
    changed = (augmented != plain).flatten(1).any(dim=1).float().mean()
    assert 0.2 < changed < 0.7  # an operation is applied with a probability of 0.5
    assert [policy for policy, _ in policies] == ["rand-m9-n1-mstd0.25"]
    assert policies[0][1]["translate_const"] == 3


def test_erasing_fills_a_rectangle_with_the_given_probability():
    plain, erased = load(range(400)), load(range(400), erase=0.25)
    changed = (plain != erased)[:, 0]
    is_erased = changed.flatten(1).any(dim=1)
    assert 0.17 < is_erased.float().mean() < 0.33
    for mask in changed[is_erased][:20]:
        rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
        box = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert box.float().mean() > 0.4  # noise may repeat a level, 0 above all


@pytest.mark.parametrize("repeats", [2, 3])
def test_repeats_read_each_image_that_often_and_neighbours_differ(repeats):
    positions = torch.arange(2 * 30 * repeats)
    repeated = Stream(60, 0, repeats=repeats).indices(positions)
    assert (repeated[0::2] != repeated[1::2]).all()
    assert (repeated.bincount() == repeats).all()
    assert torch.equal(repeated[: 2 * repeats].unique(), repeated[:2].sort().values)
    split = torch.cat(
        [Stream(60, 0, repeats=repeats).indices(p) for p in positions.split(7)]
    )
    assert torch.equal(split, repeated)


def test_repeats_of_a_recipe_are_augmented_differently():
    settings = ["model.init_from=null", "data.augment={repeats: 2}"]
    recipe = load_recipe(str(ROOT / "recipes/vision/digits_finetune.yaml"), settings)
    images = open_images(recipe.data, "train")
    dataset = _stream_dataset(images, recipe)
    assert isinstance(dataset, StreamDataset)
    batch = dataset.__getitems__([0, 1, 2, 3])
    assert batch["indices"].tolist()[:2] == batch["indices"].tolist()[2:]
    assert not torch.equal(batch["images"][0], batch["images"][2])


@pytest.mark.parametrize(
    ("channels", "augment", "message"),
    [
        (1, {"rand_augment": "auto-m9"}, "rand_augment must be RandAugment as timm"),
        (1, {"rand_augment": "rand-m9.5"}, "got 'rand-m9.5'"),
        (
            4,
            {"rand_augment": "rand-m9"},
            "must be null with other channels than 1 or 3",
        ),
        (1, {"erase": 1.5}, "augment.erase must be at most 1"),
        (1, {"repeats": 0}, "augment.repeats must be at least 1"),
    ],
)
def test_impossible_augmentation_is_refused(channels, augment, message):
    with pytest.raises(InputError, match=message):
        section(channels, **augment)
