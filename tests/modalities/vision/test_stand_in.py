"""Random images that stand in for missing ones."""

import numpy as np
import torch

from r2mae.modalities.vision.wing import WING
from tests.conftest import open_stand_in


def test_images_have_the_size_of_the_recipe(scratch):
    small_batch = "batch={global_samples: 64, per_device_samples: 8}"
    _, train, held_out = open_stand_in("imagenet_vit_l16", scratch, small_batch)
    assert len(train) >= 2 * 8
    assert len(held_out) >= 2
    batch = train.load(torch.arange(8), torch.arange(8), 0)
    assert batch["images"].shape == (8, 3, 224, 224)
    assert len(batch["images"].unique()) > 100


def test_images_are_grey_where_the_recipe_has_one_channel(scratch):
    recipe, train, _ = open_stand_in("digits_demo", scratch)
    assert train.load(torch.arange(4), None, 0)["images"].shape == (4, 1, 8, 8)
    assert len(WING.open_split(recipe, "test")) > 0


def test_each_class_has_the_labels_to_fine_tune_on(scratch):
    classes = ("tune.num_classes=3", "repeat.labels_per_class=[40]")
    _, train, _ = open_stand_in("digits_finetune", scratch, *classes)
    counts = np.unique(train.labels, return_counts=True)[1]
    assert len(counts) == 3
    assert counts.min() >= 40


def test_a_share_for_testing_is_not_needed_as_there_is_a_test_split(scratch):
    own = "data={card: image_folder, image_size: 8, channels: 1, test_share: 0.2}"
    recipe, *_ = open_stand_in("digits_demo", scratch, own)
    assert len(WING.open_split(recipe, "test")) > 0
