"""Decode an image to (H, W, C) uint8: bit depth, bands, transparency, orientation.

Shapes: H rows, W columns, C channels of the recipe.
"""

import io
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.errors import InputError, first_line
from r2mae.modalities.vision.schema import VisionData, height_width
from r2mae.modalities.vision.tiff_bands import open_image, read_bands

Pixels = npt.NDArray[np.uint8]
# Values that become black and white where a recipe has no data.value_range.
_DEFAULT_RANGES = {"u1": (0, 255), "b1": (0, 1)}
_SHORT, _UNIT = (0, 65535), (0.0, 1.0)
_HUGE = 1 << 25  # pixels, above which an image is read at a lower resolution
_NPY = b"\x93NUMPY"


def decode(raw: bytes, section: VisionData, name: str) -> Pixels:
    """Encoded bytes of an image or a .npy array -> (H, W, C) uint8.

    Raises: InputError naming the image when it is damaged, truncated, or cannot be
        converted to the recipe's channels.
    """
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array = read_array(raw, section.max_megapixels)
            if array is not None:
                return array_pixels(array, section, name)
            if section.value_range is not None and _is_deep_colour_png(raw):
                raise InputError(
                    f"{name} must not be a PNG of 16 bits and several bands with "
                    "data.value_range, as Pillow reads 8 of the bits. Save it as TIFF."
                )
            with open_image(raw) as image:
                return image_pixels(image, section, name)
    except InputError:
        raise
    except UnidentifiedImageError:  # its message has an address in memory
        raise InputError(
            f"{name} must be a complete, readable image, got an unknown format."
        ) from None
    except Exception as error:
        raise InputError(
            f"{name} must be a complete, readable image, got {type(error).__name__}: "
            f"{first_line(error)}."
        ) from None


def read_array(raw: bytes, max_megapixels: float) -> npt.NDArray[Any] | None:
    """Numbers of a .npy file, or of a TIFF's bands; None for other images.

    Raises: ValueError for a TIFF with more pixels.
    """
    if raw.startswith(_NPY):
        array: npt.NDArray[Any] = np.load(io.BytesIO(raw), allow_pickle=False)
        return array
    return read_bands(raw, max_megapixels)


def image_pixels(image: Any, section: VisionData, name: str) -> Pixels:
    """A PIL image -> (H, W, C) uint8, upright, without transparency.

    Raises: InputError for too many pixels, or bands that the recipe does not have.
    """
    from PIL import ImageOps

    _check_size(image, section, name)
    factor = reduction(image.size, section)
    if factor > 1:  # draft: JPEG only, which decodes at 1/2, 1/4 or 1/8 of the size
        width = image.width
        image.draft(None, (image.width // factor, image.height // factor))
        factor = max(1, factor * image.width // width)
    if has_channel_pages(image, section.channels):
        array = np.stack([np.asarray(page) for page in _pages(image)], axis=-1)
        return _reduced(array_pixels(array, section, name), factor)
    image = ImageOps.exif_transpose(image)
    if is_deep(image) or section.channels not in (1, 3):
        indexed = image.mode in ("P", "PA", "1")
        array = np.asarray(image.convert("RGB") if indexed else image)
        return _reduced(array_pixels(array, section, name), factor)
    if image.has_transparency_data:
        image = _over(image.convert("RGBA"), section.background)
    if image.mode in ("LAB", "HSV"):  # Pillow converts them to RGB alone
        image = image.convert("RGB")
    pixels = np.asarray(image.convert("RGB" if section.channels == 3 else "L"))
    if section.value_range is not None:
        pixels = array_pixels(pixels, section, name)
    return _reduced(pixels.reshape(*pixels.shape[:2], section.channels), factor)


def array_pixels(array: npt.NDArray[Any], section: VisionData, name: str) -> Pixels:
    """Numbers (H, W) or (H, W, bands) -> (H, W, C) uint8, with data.value_range.

    Raises: InputError for other shapes, bands and values.
    """
    if array.ndim not in (2, 3) or not array.size:
        raise InputError(
            f"{name} must be an array (H, W) or (H, W, bands), got {array.shape}."
        )
    scaled = _scale(array.reshape(*array.shape[:2], -1), section, name)
    bands, channels = scaled.shape[2], section.channels
    if bands == channels:
        return scaled
    if bands == 1 and channels == 3:
        return np.repeat(scaled, 3, axis=2)
    if bands == 3 and channels == 1:
        from PIL import Image

        return np.asarray(Image.fromarray(scaled).convert("L"))[:, :, None]
    raise _wrong_bands(name, channels, bands)


def is_deep(image: Any) -> bool:
    """Whether a PIL image has more than 8 bits a pixel and band."""
    mode: str = image.mode
    return mode == "F" or mode.startswith("I")


def has_channel_pages(image: Any, channels: int) -> bool:
    """Whether a file has one grey page for each channel, as microscopes write them."""
    pages = getattr(image, "n_frames", 1)
    return (
        channels > 1
        and pages == channels
        and image.format == "TIFF"
        and len(image.getbands()) == 1
    )


def reduction(size: tuple[int, int], section: VisionData) -> int:
    """Factor by which a huge image is reduced; every crop still has image_size pixels."""
    if size[0] * size[1] <= _HUGE:
        return 1
    smallest = section.augment.crop_scale[0] if section.augment else 1.0
    rows, columns = height_width(section.image_size)
    fitting = min(size[0] / columns, size[1] / rows)  # of the largest box
    # A crop has an aspect ratio from 3/4 to 4/3.
    return max(1, int(fitting * math.sqrt(0.75 * smallest)))


def _pages(image: Any) -> Iterator[Any]:
    from PIL import ImageSequence

    for page in ImageSequence.Iterator(image):
        yield page.copy()


def _check_size(image: Any, section: VisionData, name: str) -> None:
    megapixels = image.width * image.height / 1e6
    if not megapixels:
        raise InputError(
            f"{name} must have pixels, got {image.width} x {image.height}."
        )
    if megapixels > section.max_megapixels:
        raise InputError(
            f"{name} must have at most {section.max_megapixels:g} megapixels, "
            f"got {megapixels:,.0f}. Set data.max_megapixels; reading it takes about "
            f"{megapixels * 6 / 1e3:.1f} GB of memory per data loader worker."
        )


def _is_deep_colour_png(raw: bytes) -> bool:
    """Whether a PNG has several bands of 16 bits."""
    return raw.startswith(b"\x89PNG") and raw[24:25] == b"\x10" and raw[25:26] != b"\0"


def _over(image: Any, background: tuple[int, int, int]) -> Any:
    """An RGBA image over a colour."""
    from PIL import Image

    return Image.alpha_composite(Image.new("RGBA", image.size, background), image)


def _scale(array: npt.NDArray[Any], section: VisionData, name: str) -> Pixels:
    """Numbers -> 0 to 255, by data.value_range or by their type."""
    if section.value_range is None and array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "buif":
        raise InputError(f"{name} must hold numbers, got {array.dtype}.")
    lowest, highest = float(array.min()), float(array.max())
    if not math.isfinite(lowest) or not math.isfinite(highest):
        raise InputError(f"{name} must have finite pixel values, got NaN or infinity.")
    low, high = section.value_range or _usual_range(array.dtype)
    if section.value_range is None and not low <= lowest <= highest <= high:
        raise InputError(
            f"{name} must have {array.dtype} values from {low:g} to {high:g}, "
            f"got {lowest:g} to {highest:g}. Set data.value_range: [black, white]."
        )
    unit = (array.astype(np.float32) - low) / (high - low)
    scaled: Pixels = np.rint(unit.clip(0, 1) * 255).astype(np.uint8)
    return scaled


def _usual_range(dtype: np.dtype[Any]) -> tuple[float, float]:
    if dtype.kind == "f":
        return _UNIT
    return _DEFAULT_RANGES.get(dtype.str[1:], _SHORT)


def _wrong_bands(name: str, channels: int, bands: int) -> InputError:
    return InputError(
        f"{name} must have data.channels {channels} bands, got {bands}. "
        f"Set data.channels: {bands}, or convert it."
    )


def _reduced(pixels: Pixels, factor: int) -> Pixels:
    """Pixels averaged over squares of factor x factor."""
    if factor == 1:
        return pixels
    from PIL import Image

    bands = [
        np.asarray(Image.fromarray(np.ascontiguousarray(band)).reduce(factor))
        for band in np.moveaxis(pixels, 2, 0)
    ]
    return np.stack(bands, axis=2)
