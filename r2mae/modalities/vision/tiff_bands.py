"""Read all bands of a TIFF; Pillow reads at most four, with 8 bits.

The tags are changed so that Pillow reads one grey image: S times as wide where the S bands
of a pixel are side by side, S times as high where bands are planes.
"""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES = 256, 257, 258, 262, 277
_ROWS_PER_STRIP, _PLANAR, _PREDICTOR, _TILE_WIDTH = 278, 284, 317, 322
_EXTRA, _FORMAT = 338, 339
_IGNORED = 337  # a tag of text that Pillow does not use
_SIZES = {1: "B", 3: "H", 4: "I"}  # field type -> format of its values
_COLOURS = {0: 1, 1: 1, 2: 3}  # photometric interpretation -> bands with a meaning
_ALPHA = ((), (1,), (2,), (999,))  # ExtraSamples of transparency, as Pillow reads it


class _Entry(NamedTuple):
    """place: of the entry in the file, in bytes. values: of the tag."""

    place: int
    values: tuple[int, ...]


@contextmanager
def open_image(raw: bytes) -> Iterator[Any]:
    """A PIL image of encoded bytes, without Pillow's size limit: `image_pixels` has one."""
    from PIL import Image

    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(io.BytesIO(raw)) as image:
            yield image
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def read_bands(raw: bytes, max_megapixels: float) -> npt.NDArray[Any] | None:
    """(H, W, S) values of a TIFF's first page; None for files that Pillow reads in full.

    Raises: ValueError for a layout that cannot be read, or more pixels.
    """
    if raw[:4] not in (b"II*\0", b"MM\0*"):
        return None
    order = "<" if raw[:2] == b"II" else ">"
    tags = _read_tags(raw, order)
    samples = _first(tags, _SAMPLES, 1)
    if samples == 1 or not _has_more(tags, samples):
        return None
    bits = tags[_BITS].values
    if len(set(bits)) > 1 or bits[0] not in (8, 16, 32):
        raise ValueError(f"bands of {'/'.join(map(str, bits))} bits; save it as .npy")
    changes = {_BITS: bits[0], _PHOTOMETRIC: 1, _SAMPLES: 1}
    width, height = tags[_WIDTH].values[0], tags[_HEIGHT].values[0]
    if width * height > max_megapixels * 1e6:
        raise ValueError(f"{width} x {height} pixels, more than data.max_megapixels")
    is_planar = _first(tags, _PLANAR, 1) == 2
    predictor = _first(tags, _PREDICTOR, 1)
    if is_planar:
        changes |= _stack_planes(tags, samples, height)
    else:
        changes |= {_WIDTH: width * samples, _PREDICTOR: 1}
        if _TILE_WIDTH in tags:
            changes[_TILE_WIDTH] = tags[_TILE_WIDTH].values[0] * samples
        if predictor > 2 or (predictor == 2 and _TILE_WIDTH in tags):
            raise ValueError("bands with a predictor in tiles; save it as .npy")
    if _FORMAT in tags:
        changes[_FORMAT] = tags[_FORMAT].values[0]
    grey = _read_grey(_patch(raw, order, tags, changes))
    if is_planar:
        return np.moveaxis(grey.reshape(samples, height, width), 0, 2)
    bands = grey.reshape(height, width, samples)
    if predictor == 2:  # differences from the pixel to the left, modulo the type
        bands = np.cumsum(bands, axis=1, dtype=bands.dtype.newbyteorder("="))
    return bands


def _has_more(tags: dict[int, _Entry], samples: int) -> bool:
    """Whether Pillow would drop bands, or bits of a band."""
    regular = _COLOURS.get(_first(tags, _PHOTOMETRIC, 1))
    if regular is None:  # CMYK and others
        return False
    extra = tags[_EXTRA].values if _EXTRA in tags else ()
    is_alpha = samples == regular + 1 and extra in _ALPHA
    is_plain = samples == regular or is_alpha
    return not is_plain or tags[_BITS].values[0] > 8


def _stack_planes(tags: dict[int, _Entry], samples: int, height: int) -> dict[int, int]:
    """Changes that make planes of an image one image below another."""
    rows = _first(tags, _ROWS_PER_STRIP, height)
    if _TILE_WIDTH in tags or (rows < height and height % rows):
        raise ValueError("planes that do not end with a strip; save it as .npy")
    stacked = {_HEIGHT: height * samples, _PLANAR: 1}
    return stacked | {_ROWS_PER_STRIP: min(rows, height)}


def _read_tags(raw: bytes, order: str) -> dict[int, _Entry]:
    """Tags of the first page whose values are whole numbers."""
    (start,) = struct.unpack_from(f"{order}I", raw, 4)
    (count,) = struct.unpack_from(f"{order}H", raw, start)
    tags = {}
    for place in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack_from(f"{order}HHI", raw, place)
        if kind not in _SIZES:
            continue
        letters = f"{order}{length}{_SIZES[kind]}"
        at = place + 8
        if struct.calcsize(letters) > 4:
            (at,) = struct.unpack_from(f"{order}I", raw, at)
        tags[tag] = _Entry(place, struct.unpack_from(letters, raw, at))
    return tags


def _first(tags: dict[int, _Entry], tag: int, default: int) -> int:
    return tags[tag].values[0] if tag in tags else default


def _patch(
    raw: bytes, order: str, tags: dict[int, _Entry], changes: dict[int, int]
) -> bytes:
    """The file with other values of tags that it has, and no ExtraSamples."""
    patched = bytearray(raw)
    for tag, value in changes.items():
        if tag in tags:  # as one long number
            place = tags[tag].place
            struct.pack_into(f"{order}HHII", patched, place, tag, 4, 1, value)
    if _EXTRA in tags:
        struct.pack_into(f"{order}H", patched, tags[_EXTRA].place, _IGNORED)
    return bytes(patched)


def _read_grey(raw: bytes) -> npt.NDArray[Any]:
    with open_image(raw) as image:
        return np.asarray(image)
