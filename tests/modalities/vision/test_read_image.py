import io

import numpy as np
import pytest
from PIL import Image

from r2mae.errors import InputError
from r2mae.modalities.vision.read_image import bad_images, read_pixels
from r2mae.modalities.vision.schema import VisionData

GREY = np.arange(20, dtype=np.uint8).reshape(4, 5, 1)


def section(**fields):
    return VisionData(card="image_folder", image_size=8, augment=None, **fields)


class Records:
    """A single record: bytes, grey pixels, or an error."""

    def __init__(self, record):
        self.record = record

    def read(self, index):
        if isinstance(self.record, OSError):
            raise self.record
        return self.record

    def name(self, index):
        return f"dog/{index}.png"


def png():
    file = io.BytesIO()
    Image.fromarray(GREY[..., 0]).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("record", [png(), GREY], ids=["PNG", "pixels"])
def test_grey_images_have_as_many_channels_as_the_recipe(record):
    pixels = read_pixels(Records(record), 0, section())
    assert np.array_equal(pixels, np.repeat(GREY, 3, axis=2))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"no image", "dog/4.png must be a complete, readable image"),
        (FileNotFoundError(2, "No such file"), r"dog/4.png \(sample 4\) must be read"),
    ],
)
def test_an_unreadable_image_is_named(record, message):
    with pytest.raises(InputError, match=message):
        read_pixels(Records(record), 4, section())


def test_it_is_refused_or_counted_as_the_recipe_says():
    remedy = "Repair or remove it, or set data.on_bad_sample: skip."
    refusing, counting = (
        bad_images(section(on_bad_sample=value)) for value in ("stop", "skip")
    )
    with pytest.raises(InputError, match=f"dog is broken. {remedy}"):
        refusing.reject(0, "dog is broken.")
    counting.reject(0, "dog is broken.")
    assert counting.numbers == [0]
