"""RandAugment and random erasing by timm, as functions of (seed, position).

timm draws from the global generators of Python, numpy and torch. They are seeded for
each image, and restored after it.

Shapes: h x w pixels, C channels.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.masking.rng import RandomStream, host_bits
from r2mae.modalities.vision.schema import TuningAugmentSection, VisionData
from r2mae.modalities.vision.statistics import pixel_statistics

Pixels = npt.NDArray[np.uint8]
_MOST_SHIFT = 0.45  # of the shorter side, as in timm's transforms for training


def augment_views(
    views: list[Pixels], positions: Tensor, seed: int, section: VisionData
) -> list[Pixels]:
    """RandAugment, then random erasing, of images (h, w, C) uint8 at positions (B,).

    Source: Cubuk et al. 2019, Zhong et al. 2017, as implemented in timm.
    """
    augment = section.augment
    assert isinstance(augment, TuningAugmentSection)
    for row, position in enumerate(positions.tolist()):
        if augment.rand_augment is not None:
            key = host_bits(seed, RandomStream.RAND_AUGMENT, position)
            views[row] = _rand_augment(views[row], augment.rand_augment, key, section)
        if augment.erase > 0:
            key = host_bits(seed, RandomStream.ERASE, position)
            views[row] = _erase(views[row], augment.erase, key, section)
    return views


def _rand_augment(pixels: Pixels, policy: str, key: int, section: VisionData) -> Pixels:
    from PIL import Image

    mean = pixel_statistics(section)["pixel_mean"]
    fill = tuple(min(255, round(255 * level)) for level in mean)
    transform = _transform(policy, min(pixels.shape[:2]), fill)
    is_grey = pixels.shape[2] == 1
    image = Image.fromarray(
        np.ascontiguousarray(pixels[:, :, 0] if is_grey else pixels)
    )
    with _seeded(key):
        changed = np.asarray(transform(image))
    return changed.reshape(pixels.shape)


@lru_cache(maxsize=8)
def _transform(policy: str, side: int, fill: tuple[int, ...]) -> Any:
    """timm's RandAugment. fill: levels of each channel outside a moved image."""
    from PIL import Image
    from timm.data.auto_augment import rand_augment_transform

    options = {
        "translate_const": int(side * _MOST_SHIFT),
        "img_mean": fill[0] if len(fill) == 1 else fill,
        "interpolation": Image.Resampling.BICUBIC,
    }
    transform = rand_augment_transform(policy, options)
    for op in transform.ops:
        if op.name.startswith("Posterize"):
            op.level_fn = partial(_bits_to_keep, op.level_fn)
    return transform


def _bits_to_keep(level_fn: Any, level: float, options: dict[str, Any]) -> tuple[int]:
    """Bits of each pixel that posterizing keeps: at least one.

    Differs: timm keeps none at the highest level, a black image, which Pillow refuses.
    """
    return (max(1, level_fn(level, options)[0]),)


def _erase(pixels: Pixels, probability: float, key: int, section: VisionData) -> Pixels:
    """With a probability, noise of the data's mean and deviation in a rectangle.

    Differs: levels are rounded to whole numbers from 0 to 255.
    """
    from timm.data.random_erasing import RandomErasing

    mean, deviation = (
        torch.tensor(values).view(-1, 1, 1)
        for values in pixel_statistics(section).values()
    )
    image = torch.tensor(pixels).permute(2, 0, 1) / 255
    with _seeded(key):
        erased = RandomErasing(probability, mode="pixel", max_count=1, device="cpu")(
            (image - mean) / deviation
        )
    levels = ((erased * deviation + mean) * 255).round().clamp(0, 255)
    noisy: Pixels = levels.to(torch.uint8).permute(1, 2, 0).numpy()
    return noisy


@contextmanager
def _seeded(key: int) -> Iterator[None]:
    """Within, the global generators of the host start from a key of 64 bits."""
    python, numpy, host = (
        random.getstate(),
        np.random.get_state(),
        torch.get_rng_state(),
    )
    random.seed(key)
    np.random.seed([key & 0xFFFFFFFF, key >> 32])
    torch.default_generator.manual_seed(key >> 1)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(host)
