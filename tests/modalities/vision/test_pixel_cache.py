"""Decoded images are kept where all of them fit, and `check` says how much memory they take."""

import numpy as np
import pytest
import torch

from r2mae.modalities.vision.describe import describe_data
from r2mae.modalities.vision.images import open_image_paths
from r2mae.modalities.vision.pixel_cache import PixelCache
from r2mae.modalities.vision.schema import VisionData
from r2mae.recipe.load import load_recipe
from tests.conftest import DEMO, TINY
from tests.modalities.vision.test_image_files import folder


def pixels(side):
    return np.zeros((side, side, 1), np.uint8)


def test_images_of_a_set_that_fits_are_kept():
    cache = PixelCache(40, 40 * 100)
    for index in range(40):
        cache.add(index, pixels(10))
    assert len(cache) == 40
    assert cache.get(39) is not None
    assert cache.get(40) is None


def test_no_image_is_kept_of_a_set_that_does_not_fit():
    cache = PixelCache(41, 40 * 100)
    for index in range(41):
        cache.add(index, pixels(10))
    assert len(cache) == 0


def test_the_cache_is_never_larger_than_it_may_be():
    cache = PixelCache(40, 40 * 100)
    for index in range(40):  # larger after the first, by which all were judged
        cache.add(index, pixels(10 if index < 20 else 20))
    assert len(cache) == 25


def test_few_images_are_kept_as_far_as_there_is_room():
    cache = PixelCache(3, 250)
    for index in range(3):
        cache.add(index, pixels(10))
    assert len(cache) == 2


@pytest.mark.parametrize(("number", "cached"), [(18, 18), (30, 0)])
def test_images_that_do_not_all_fit_are_read_each_time(tmp_path, number, cached):
    folder(tmp_path, *[f"{n}.png" for n in range(number)], size=(240, 240))
    section = VisionData(image_size=8, channels=1, cache_mib=1)
    images = open_image_paths(section, [str(tmp_path)])
    images.load(torch.arange(number), None, 0)
    assert len(images._cache) == cached


def cache_line(root, *settings):
    """What `check` says of the cache."""
    own = ("data.card=image_folder", f"data.root={root}", "data.cache_mib=1")
    recipe = load_recipe(str(DEMO), [*TINY, *own, "data.channels=1", *settings])
    return describe_data(recipe).get("cache")


def test_check_prints_the_memory_of_all_workers_of_a_machine(tmp_path):
    names = [f"train/{name}/{n}.png" for n in range(25) for name in ("cat", "dog")]
    folder(tmp_path, *names, size=(100, 200))
    size = "1.00MB of decoded images"
    assert cache_line(tmp_path, "hardware.workers=0") == f"up to {size}"
    several = ("hardware.devices=4", "hardware.workers=2")
    assert cache_line(tmp_path, *several) == (
        f"up to {size} in each of 8 workers of a machine, 8.00MB in all"
    )
    assert cache_line(tmp_path, "data.cache_mib=0") is None
    folder(tmp_path, *names, size=(100, 300))
    assert cache_line(tmp_path) == (
        "none: 1.50MB of decoded images, over data.cache_mib: 1"
    )
