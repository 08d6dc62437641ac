"""Images in memory: PIL images and uint8 arrays, as records that `Images` reads like files."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from r2mae.data.objects import list_objects
from r2mae.errors import InputError, first_line

Pixels = npt.NDArray[np.uint8]
_CHANNELS = (1, 3, 4)


class ImageObjects:
    """One image or several, without labels. Implements `ImageRecords`.

    images: a PIL image, an array (H, W), (H, W, C) or (N, H, W, C), or a sequence of images; arrays are uint8.
    channels: 1 or 3, to which the images are converted as files are.
    """

    labels: npt.NDArray[np.int64] | None = None
    labels_absent = "images in memory. Name files instead."
    fingerprint = "in memory"

    def __init__(self, images: Any, channels: int) -> None:
        self.class_names: dict[int, str] = {}
        self.images = _as_list(images)
        self.channels = channels
        for number in range(len(self.images)):
            self._check(number)

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """What a message calls an image."""
        return f"image {index}"

    def read(self, index: int) -> Pixels:
        """(H, W, channels) pixels."""
        from PIL import Image

        image = self.images[index]
        if isinstance(image, np.ndarray):
            is_grey = image.ndim == 3 and image.shape[2] == 1
            image = Image.fromarray(image[:, :, 0] if is_grey else image)
        try:
            return to_pixels(image, self.channels)
        except ValueError as error:  # a closed image
            raise InputError(
                f"{self.name(index)} must be open, got: {first_line(error)}."
            ) from None

    def _check(self, number: int) -> None:
        image = self.images[number]
        if _is_pil(image) and image.width and image.height:
            return
        rule = "must be a PIL image or a uint8 array (H, W) or (H, W, 1, 3 or 4)"
        if _is_pil(image):
            raise InputError(f"{self.name(number)} {rule}, got one without pixels.")
        if not isinstance(image, np.ndarray):
            kind = type(image).__name__
            raise InputError(f"{self.name(number)} {rule}, got {kind}.")
        has_shape = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in _CHANNELS)
        if not has_shape or image.dtype != np.uint8 or not image.size:
            shape = f"{image.dtype} {image.shape}"
            raise InputError(f"{self.name(number)} {rule}, got {shape}.")


def _as_list(images: Any) -> list[Any]:
    is_one_array = isinstance(images, np.ndarray) and (
        images.ndim < 3 or (images.ndim == 3 and images.shape[2] in _CHANNELS)
    )
    if _is_pil(images) or is_one_array:
        return [images]
    if isinstance(images, np.ndarray) and images.ndim == 3 and len(images) in (3, 4):
        raise InputError(
            "images must be an array (H, W), (H, W, C) or (N, H, W, C), got "
            f"{images.shape}, which may be (C, H, W). Give grey images as list(images)."
        )
    return list_objects(images, "PIL images or uint8 arrays")


def _is_pil(image: Any) -> bool:
    from PIL import Image

    return isinstance(image, Image.Image)


def to_pixels(image: Any, channels: int) -> Pixels:
    """A PIL image as (H, W, channels) uint8; grey, palette, RGBA and 16-bit images are converted."""
    from PIL import Image

    if image.mode.startswith("I;16") or image.mode == "I":
        scaled = np.asarray(image).clip(0, 65535) / 257
        image = Image.fromarray(scaled.astype(np.uint8))
    pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    return pixels.reshape(*pixels.shape[:2], channels)


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.modalities.vision.image_records import ImageRecords

    _records: type[ImageRecords] = ImageObjects
