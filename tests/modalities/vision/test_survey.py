"""What `check` says of a sample of image files."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from r2mae.data.card import load_card
from r2mae.errors import InputError
from r2mae.modalities.vision.image_records import open_record_paths
from r2mae.modalities.vision.images import open_image_paths
from r2mae.modalities.vision.schema import VisionData
from r2mae.modalities.vision.survey import describe_pixels, survey_images

CARD = load_card("image_folder")


def section(**fields):
    return VisionData(card="image_folder", image_size=8, **fields)


def damaged_file(folder):
    for number in range(4):
        Image.new("L", (8, 8), number).save(folder / f"{number}.png")
    (folder / "2.png").write_bytes(b"")
    return folder


def empty_row(folder):
    rows = [{"bytes": None, "path": None}] * 2
    pq.write_table(pa.table({"image": rows}), folder / "train.parquet")
    return folder / "train.parquet"


@pytest.mark.parametrize("make", [damaged_file, empty_row])
def test_an_unreadable_image_is_refused_in_the_words_of_training(tmp_path, make):
    place = str(make(tmp_path))
    images = open_image_paths(section(), [place])
    messages = []
    for read in (
        lambda: survey_images(images.records, section()),
        lambda: [
            images.load(torch.tensor([row]), None, 0) for row in range(len(images))
        ],
    ):
        with pytest.raises(InputError) as caught:
            read()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert messages[0].endswith("Repair or remove it, or set data.on_bad_sample: skip.")


def test_an_unreadable_image_is_counted_where_it_is_skipped(tmp_path):
    records = open_record_paths(CARD, [str(damaged_file(tmp_path))])
    skip = section(on_bad_sample="skip")
    survey = survey_images(records, skip)
    assert survey.num_bytes == [8 * 8 * 3] * 3
    said = describe_pixels(survey, skip)
    assert "4 of 4 files: 3 L (PNG)" in said
    assert "1 unreadable, to be skipped" in said
