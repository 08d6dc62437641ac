"""Describe a sample of image files: modes, sizes, bit depth, orientation, pages, decoding time."""

import math
import sys
import time
import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from r2mae.errors import InputError
from r2mae.modalities.vision.image_records import ImageRecords
from r2mae.modalities.vision.pixels import (
    decode,
    has_channel_pages,
    is_deep,
    read_array,
    reduction,
)
from r2mae.modalities.vision.read_image import bad_images, read_encoded
from r2mae.modalities.vision.schema import VisionData
from r2mae.modalities.vision.tiff_bands import open_image
from r2mae.schema.launch import read_launch

_FILES, _FEW = 16, 4  # files read by check, and by other commands
_SLOW_SECONDS = 0.2  # to decode an image


@dataclass
class Survey:
    """Facts about a sample of images.

    total: images of the data set. read: images of the sample.
    modes: mode and format of each image, or bands and type of each array.
    notes: on single images. sizes: (width, height) in pixels.
    highest: largest value of each image with more than 8 bits.
    num_bytes: of decoded pixels, of each image. seconds: decoding time of all.
    """

    total: int
    read: int = 0
    modes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    highest: list[float] = field(default_factory=list)
    num_bytes: list[int] = field(default_factory=list)
    seconds: float = 0.0


def survey_images(records: ImageRecords, section: VisionData) -> Survey | None:
    """Facts about a sample of files; None for images that a package has as arrays.

    Raises: InputError for an image that is damaged or does not fit the recipe, unless
        such images are skipped.
    """
    survey, unreadable = Survey(len(records)), bad_images(section)
    for row in _spread(records, _FILES):
        try:
            raw = read_encoded(records, row)
            if not isinstance(raw, bytes):
                return None
            survey.read += 1
            start = time.perf_counter()
            pixels = decode(raw, section, records.name(row))
            survey.seconds += time.perf_counter() - start
            survey.num_bytes.append(pixels.nbytes)
        except InputError as error:
            unreadable.reject(row, str(error))
            survey.notes.append("unreadable, to be skipped")
            continue
        _examine(raw, section, survey)
    return survey


def describe_pixels(survey: Survey, section: VisionData) -> str:
    """One line on a sample of files."""
    modes = [f"{number} {kind}" for kind, number in Counter(survey.modes).items()]
    parts = [f"{survey.read} of {survey.total:,} files: {', '.join(modes)}"]
    if survey.sizes:
        parts.append(_describe_sizes(survey.sizes))
    parts += [f"{number} {note}" for note, number in Counter(survey.notes).items()]
    if dark := _describe_dark(survey.highest, section):
        parts.append(dark)
    seconds = survey.seconds / survey.read
    parts.append(f"{seconds * 1e3:,.0f} ms to decode one")
    if seconds > _SLOW_SECONDS:
        parts.append("resize them once before training, as they are read every epoch")
    return "; ".join(parts)


def warn_of_dark_images(records: ImageRecords, section: VisionData) -> None:
    """Print a warning, once, where 12-bit values in 16-bit files would look nearly black."""
    highest = []
    with suppress(Exception):  # a damaged file is reported where it is loaded
        for row in _spread(records, _FEW):
            raw = records.read(row)
            value = highest_value(raw) if isinstance(raw, bytes) else None
            if value is None:
                return
            highest.append(value)
    if dark := _describe_dark(highest, section):
        print_once(f"data: {dark}")


@cache
def print_once(line: str) -> None:
    """Print a warning of the first rank to stderr, unless it was printed before."""
    if read_launch().is_first:
        print(line, file=sys.stderr, flush=True)


def _spread(records: ImageRecords, most: int) -> list[int]:
    """At most `most` evenly spaced rows."""
    count = min(most, len(records))
    rows: list[int] = (
        np.linspace(0, len(records) - 1, count).round().astype(int).tolist()
    )
    return rows


def _describe_dark(highest: list[float], section: VisionData) -> str:
    """A warning where values of 16-bit images use a small part of their range, or ""."""
    is_default = section.value_range is None
    if not highest or not is_default or not 1 < max(highest) < 1 << 14:
        return ""
    # Images of fewer than 8 bits are not stored in 16.
    white = max(255, (1 << math.ceil(math.log2(max(highest) + 1))) - 1)
    return (
        f"16-bit values end at {max(highest):,.0f} and will look nearly black: "
        f"set data.value_range: [0, {white}]"
    )


def highest_value(raw: bytes) -> float | None:
    """The largest value of an image with more than 8 bits; None for others."""
    array = read_array(raw, math.inf)
    if array is not None:
        is_deep_integer = array.dtype.kind in "ui" and array.dtype.itemsize > 1
        return float(array.max()) if is_deep_integer and array.size else None
    with open_image(raw) as image:
        if not is_deep(image) or image.mode == "F":
            return None
        return float(np.asarray(image).max())


def _examine(raw: bytes, section: VisionData, survey: Survey) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if (highest := highest_value(raw)) is not None:
            survey.highest.append(highest)
        array = read_array(raw, section.max_megapixels)
        if array is not None:
            bands = array.shape[2] if array.ndim == 3 else 1
            kind = "TIFF" if raw[:2] in (b"II", b"MM") else ".npy"
            survey.modes.append(f"{bands} x {array.dtype} ({kind})")
            survey.sizes.append((array.shape[1], array.shape[0]))
            return
        with open_image(raw) as image:
            survey.modes.append(f"{image.mode} ({image.format})")
            survey.sizes.append(image.size)
            if image.getexif().get(0x0112, 1) != 1:
                survey.notes.append("turned upright by EXIF")
            if image.has_transparency_data and section.channels in (1, 3):
                survey.notes.append(f"transparent, over {list(section.background)}")
            pages = getattr(image, "n_frames", 1)
            if pages > 1 and not has_channel_pages(image, section.channels):
                survey.notes.append("with further pages or frames, which are not read")
            if reduction(image.size, section) > 1:
                survey.notes.append("huge, read at a lower resolution")


def _describe_sizes(sizes: list[tuple[int, int]]) -> str:
    """Width x height of the smallest and of the largest image."""
    ordered = sorted(sizes, key=math.prod)
    (width, height), (most_wide, most_high) = ordered[0], ordered[-1]
    smallest = f"{width:,} x {height:,} pixels"
    if ordered[0] == ordered[-1]:
        return smallest
    return f"{smallest} to {most_wide:,} x {most_high:,}"
