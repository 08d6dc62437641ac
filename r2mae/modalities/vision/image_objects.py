"""Images in memory: PIL images and arrays, as records that `Images` reads like files."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from r2mae.data.objects import list_objects
from r2mae.errors import InputError, first_line
from r2mae.modalities.vision.pixels import Pixels, array_pixels, image_pixels
from r2mae.modalities.vision.schema import VisionData

_CHANNELS = (1, 3, 4)


class ImageObjects:
    """One image or several, without labels. Implements `ImageRecords`.

    images: a PIL image, an array (H, W), (H, W, C) or (N, H, W, C), or a sequence of
        images. Arrays are uint8, or of any type where data.value_range is set.
    section: by which they are converted, as files are.
    """

    labels: npt.NDArray[np.int64] | None = None
    labels_absent = "images in memory. Name files instead."
    fingerprint = "in memory"

    def __init__(self, images: Any, section: VisionData) -> None:
        self.class_names: dict[int, str] = {}
        self.section = section
        self.channels = tuple(sorted({*_CHANNELS, section.channels}))
        self.images = _as_list(images, self.channels)
        for number in range(len(self.images)):
            self._check(number)

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """What a message calls an image."""
        return f"image {index}"

    def read(self, index: int) -> Pixels:
        """(H, W, C) pixels."""
        from PIL import Image

        image, section = self.images[index], self.section
        if isinstance(image, np.ndarray):
            is_rgba = image.shape[2:] == (4,) and section.channels in (1, 3)
            if not is_rgba:
                return array_pixels(image, section, self.name(index))
            image = Image.fromarray(image)
        try:
            return image_pixels(image, section, self.name(index))
        except ValueError as error:  # a closed image
            raise InputError(
                f"{self.name(index)} must be open, got: {first_line(error)}."
            ) from None

    def _check(self, number: int) -> None:
        image = self.images[number]
        if _is_pil(image) and image.width and image.height:
            return
        bands = ", ".join(map(str, self.channels))
        rule = f"must be a PIL image or a uint8 array (H, W) or (H, W, C), C of {bands}"
        if _is_pil(image):
            raise InputError(f"{self.name(number)} {rule}, got one without pixels.")
        if not isinstance(image, np.ndarray):
            kind = type(image).__name__
            raise InputError(f"{self.name(number)} {rule}, got {kind}.")
        has_shape = image.ndim == 2 or (
            image.ndim == 3 and image.shape[2] in self.channels
        )
        is_scaled = self.section.value_range is not None and image.dtype.kind in "uif"
        if (
            not has_shape
            or not (image.dtype == np.uint8 or is_scaled)
            or not image.size
        ):
            shape = f"{image.dtype} {image.shape}"
            remedy = ""
            if image.dtype.kind in "uif" and image.dtype != np.uint8:
                remedy = (
                    " Convert it to 0 to 255, or set data.value_range in the recipe."
                )
            raise InputError(f"{self.name(number)} {rule}, got {shape}.{remedy}")


def _as_list(images: Any, channels: tuple[int, ...]) -> list[Any]:
    is_one_array = isinstance(images, np.ndarray) and (
        images.ndim < 3 or (images.ndim == 3 and images.shape[2] in channels)
    )
    if _is_pil(images) or is_one_array:
        return [images]
    if isinstance(images, np.ndarray) and images.ndim == 3 and len(images) in channels:
        raise InputError(
            "images must be an array (H, W), (H, W, C) or (N, H, W, C), got "
            f"{images.shape}, which may be (C, H, W). Give grey images as list(images)."
        )
    return list_objects(images, "PIL images or uint8 arrays")


def _is_pil(image: Any) -> bool:
    from PIL import Image

    return isinstance(image, Image.Image)


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.modalities.vision.image_records import ImageRecords

    _records: type[ImageRecords] = ImageObjects
