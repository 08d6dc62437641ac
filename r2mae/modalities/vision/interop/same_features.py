"""Checks that an exported model computes the same features as the run's."""

import torch
from torch import Tensor

from r2mae.errors import InputError
from r2mae.modalities.vision.models.image_encoder import ImageEncoder
from r2mae.modalities.vision.schema import height_width

# Relative to the largest feature: well above rounding errors, well below the difference
# that any mistake in the weights or the architecture makes.
_TOLERANCE = 1e-4


def noise(model: ImageEncoder, image_size: int | tuple[int, int]) -> dict[str, Tensor]:
    """A batch of two images of random pixels, the same at every call."""
    shape = (2, model.pixel_mean.numel(), *height_width(image_size))
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return {"images": images}


def largest_difference(actual: Tensor, expected: Tensor, what: str) -> float:
    """Of the features of an exported model and the run's own.

    what: the exported model, in the error.

    Raises: InputError when they differ by more than rounding errors.
    """
    same_shape = actual.shape == expected.shape
    difference = float((actual - expected).abs().max()) if same_shape else float("nan")
    if not difference <= _TOLERANCE * max(1.0, float(expected.abs().max())):
        got = f"a difference of {difference:.3g}"
        if not same_shape:
            got = f"shape {list(actual.shape)}"
        raise InputError(
            f"{what} must give the run's features, got {got}. "
            "Use it from Python, with r2mae.load."
        )
    return difference
