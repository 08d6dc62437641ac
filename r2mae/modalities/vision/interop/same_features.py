"""Whether an exported model computes what the run's does."""

import torch
from torch import Tensor

from r2mae.errors import InputError
from r2mae.modalities.vision.models.image_encoder import ImageEncoder

_TOLERANCE = (
    1e-4  # of the largest feature: far above rounding, far below another function
)


def noise(model: ImageEncoder, image_size: int) -> dict[str, Tensor]:
    """A batch of two images of the same random pixels each time."""
    shape = (2, model.pixel_mean.numel(), image_size, image_size)
    return {
        "images": torch.randint(
            0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        )
    }


def largest_difference(found: Tensor, wanted: Tensor, what: str) -> float:
    """Between found features of `noise` and the run's own.

    Raises: InputError when they are not the same up to rounding.
    """
    same_shape = found.shape == wanted.shape
    difference = float((found - wanted).abs().max()) if same_shape else float("nan")
    if not difference <= _TOLERANCE * max(1.0, float(wanted.abs().max())):
        got = (
            f"a difference of {difference:.3g}"
            if same_shape
            else f"shape {list(found.shape)}"
        )
        raise InputError(
            f"{what} must give the run's features, got {got}. Use r2mae.recipe.load_run instead."
        )
    return difference
