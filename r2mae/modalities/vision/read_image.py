"""Read an image of a data set, or say in one line which image cannot be read and what to do."""

import numpy as np
import numpy.typing as npt

from r2mae.data.bad_rows import BadRows
from r2mae.data.retry import retried
from r2mae.errors import InputError
from r2mae.modalities.vision.image_records import ImageRecords
from r2mae.modalities.vision.pixels import Pixels, decode
from r2mae.modalities.vision.schema import VisionData


def bad_images(section: VisionData) -> BadRows:
    """Counts unreadable images, or refuses the first, as `data.on_bad_sample` says."""
    return BadRows(
        skip=section.on_bad_sample == "skip",
        remedy="Repair or remove it, or set data.on_bad_sample: skip.",
        noun="image",
    )


def read_encoded(records: ImageRecords, index: int) -> bytes | npt.NDArray[np.uint8]:
    """What the records hold. Raises: InputError for a file that cannot be read."""
    try:
        return retried(lambda: records.read(index))
    except OSError as error:
        raise InputError(
            f"{records.name(index)} (sample {index}) must be readable, got {error}."
        ) from None


def read_pixels(records: ImageRecords, index: int, section: VisionData) -> Pixels:
    """(H, W, C) of an image. Raises: InputError for one that is unreadable."""
    encoded = read_encoded(records, index)
    if isinstance(encoded, bytes):
        return decode(encoded, section, records.name(index))
    # Embedded images are grey.
    return np.broadcast_to(encoded, (*encoded.shape[:2], section.channels))
