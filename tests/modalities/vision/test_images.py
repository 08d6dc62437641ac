import io
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from r2mae.data.card import load_card
from r2mae.data.source import hold_out
from r2mae.errors import InputError
from r2mae.modalities.vision.images import open_image_paths, open_images
from r2mae.modalities.vision.pixels import decode
from r2mae.modalities.vision.schema import AugmentSection, VisionData

CIFAR = Path(__file__).resolve().parents[2] / "../shared/data/vision/cifar10_jpeg"
RAMP = np.arange(9 * 7 * 3, dtype=np.uint8).reshape(9, 7, 3)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")


def section(**fields):
    return VisionData(
        **{"card": "image_folder", "image_size": 8, "augment": None} | fields
    )


def encoded(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def everything(images, positions=None, seed=0):
    return images.load(torch.arange(len(images)), positions, seed)["images"]


def grey(value, size=(5, 4)):
    return Image.new("L", size, value)


WHITE16 = Image.fromarray(np.full((4, 5), 65535, np.uint16))
HALF16 = Image.fromarray(np.full((4, 5), 128 * 257, np.uint16))
PALETTE = Image.fromarray(RAMP).quantize(256)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("picture", "kind", "value"),
    [
        (grey(77), "PNG", 77),
        (Image.new("1", (5, 4), 1), "PNG", 255),
        (Image.new("LA", (5, 4), (77, 10)), "PNG", 248),
        (Image.new("RGB", (5, 4), (77, 77, 77)), "PNG", 77),
        (Image.new("RGBA", (5, 4), (77, 77, 77, 10)), "PNG", 248),
        (grey(77).convert("P"), "GIF", 77),
        (Image.new("RGB", (5, 4), (77, 77, 77)), "BMP", 77),
        (Image.new("RGB", (5, 4), (77, 77, 77)), "JPEG", 77),
        (Image.new("CMYK", (5, 4), (0, 0, 0, 255)), "TIFF", 0),
        (WHITE16, "PNG", 255),
        (HALF16, "PNG", 128),
        (HALF16, "TIFF", 128),
        (Image.new("I", (5, 4), 128 * 257), "TIFF", 128),
    ],
)
def test_any_mode_becomes_uint8(picture, kind, value, channels):
    pixels = decode(encoded(picture, kind), section(channels=channels), "name")
    assert pixels.shape == (4, 5, channels)
    assert pixels.dtype == np.uint8
    assert np.unique(pixels).tolist() == [value]


def test_colours_survive():
    assert np.array_equal(
        decode(encoded(Image.fromarray(RAMP)), section(channels=3), "name"), RAMP
    )
    assert np.array_equal(
        decode(encoded(PALETTE), section(channels=3), "name"),
        np.asarray(PALETTE.convert("RGB")),
    )
    assert np.array_equal(
        decode(encoded(Image.fromarray(RAMP)), section(channels=1), "name")[:, :, 0],
        np.asarray(Image.fromarray(RAMP).convert("L")),
    )


JPEG = encoded(
    Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    ),
    "JPEG",
)


@pytest.mark.parametrize(
    "raw", [b"", b"no image", JPEG[: len(JPEG) // 2], encoded(grey(1))[:40], b"GIF89a"]
)
def test_damaged_images_are_named(raw):
    with pytest.raises(
        InputError,
        match=r"^some/file\.jpg must be a complete, readable image, got [^<>]*\.$",
    ):
        decode(raw, section(channels=3), "some/file.jpg")


def test_plain_view_is_the_array_when_sizes_agree(tmp_path):
    picture = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    first, second = (
        everything(open_image_paths(section(), [str(tmp_path)])) for _ in range(2)
    )
    assert first.dtype == torch.uint8
    assert torch.equal(first, second)
    assert np.array_equal(first[0].permute(1, 2, 0).numpy(), picture)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (7, 9), (33, 16), (8, 9)])
@pytest.mark.parametrize("augment", [None, AugmentSection()])
@pytest.mark.parametrize("channels", [1, 3])
def test_odd_sizes_become_square(tmp_path, size, augment, channels):
    Image.new("RGB", size, (60, 60, 60)).save(tmp_path / "a.png")
    images = open_image_paths(
        section(augment=augment, channels=channels), [str(tmp_path)]
    )
    view = everything(images, torch.tensor([5]))
    assert view.shape == (1, channels, 8, 8)
    assert view.unique().tolist() == [60]


def test_plain_view_is_the_centre(tmp_path):
    picture = np.zeros((8, 24, 3), np.uint8)
    picture[:, 8:16] = 200
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert everything(
        open_image_paths(section(), [str(tmp_path)])
    ).unique().tolist() == [200]


def coordinates(tmp_path, side=250):
    """An image whose colours are its coordinates, so that a view tells its box."""
    across = np.broadcast_to(np.arange(side, dtype=np.uint8), (side, side))
    path = tmp_path / "coordinates.png"
    Image.fromarray(np.stack([across, across.T, 0 * across], axis=2)).save(path)
    return path


def boxes(views, side):
    """(left, right, top, bottom, flipped) of every view of the coordinates, by its smooth colours' means and slopes."""
    x, y = views[:, 0].double().mean(1), views[:, 1].double().mean(2)
    size = x.shape[1]
    middle = slice(
        size // 4, size - size // 4
    )  # away from the box's borders the resize is linear

    def extent(line):
        slope = (line[:, middle][:, -1] - line[:, middle][:, 0]) / (
            line[:, middle].shape[1] - 1
        )
        centre = line[:, middle].mean(1) + 0.5
        return (
            centre - slope.abs() * size / 2,
            centre + slope.abs() * size / 2,
            slope < 0,
        )

    left, right, flipped = extent(x)
    top, bottom, _ = extent(y)
    return left, right, top, bottom, flipped


@pytest.mark.parametrize("scale", [(0.2, 1.0), (0.5, 0.6), (0.08, 0.3), (1.0, 1.0)])
def test_crops_stay_inside_and_cover_the_requested_areas(tmp_path, scale):
    side = 250
    images = open_image_paths(
        section(image_size=32, augment=AugmentSection(crop_scale=scale)),
        [str(coordinates(tmp_path, side))],
    )
    num = 600
    views = images.load(torch.zeros(num, dtype=torch.int64), torch.arange(num), 0)[
        "images"
    ]
    left, right, top, bottom, flipped = boxes(views, side)
    for low, high in ((left, right), (top, bottom)):
        assert float(low.min()) > -1.5
        assert float(high.max()) < side + 1.5
    width, height = right - left, bottom - top
    area, aspect = width * height / side**2, width / height
    assert float(area.min()) > scale[0] * 0.93
    assert float(area.max()) < scale[1] * 1.07
    assert float(aspect.min()) > 0.71
    assert float(aspect.max()) < 1.41
    assert abs(float(flipped.double().mean()) - 0.5) < 0.1
    if scale[1] < 1:  # wide ranges are cut where tall boxes do not fit
        edges = torch.linspace(*scale, 5, dtype=torch.float64)
        quarters = torch.histogram(area.clamp(*scale), edges).hist
        assert float((quarters / num - 0.25).abs().max()) < 0.08
        assert float(left.min()) < 4
        assert float(right.max()) > side - 4
        assert abs(float(((left + right) / 2).mean()) - side / 2) < 4
        assert abs(float(((top + bottom) / 2).mean()) - side / 2) < 4
        assert float(aspect.log().mean().abs()) < 0.05


def test_no_flip_when_it_is_off(tmp_path):
    images = open_image_paths(
        section(image_size=32, augment=AugmentSection(flip=False)),
        [str(coordinates(tmp_path))],
    )
    views = images.load(torch.zeros(64, dtype=torch.int64), torch.arange(64), 0)[
        "images"
    ]
    assert not boxes(views, 250)[4].any()


def test_a_flip_mirrors(tmp_path):
    picture = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    images = open_image_paths(
        section(augment=AugmentSection(crop_scale=(1, 1))), [str(tmp_path)]
    )
    views = images.load(torch.zeros(500, dtype=torch.int64), torch.arange(500), 0)[
        "images"
    ]
    whole = torch.from_numpy(picture).permute(2, 0, 1)
    plain = (views == whole).flatten(1).all(1)
    mirrored = (views == whole.flip(2)).flatten(1).all(1)
    assert int(plain.sum()) > 10  # crops that are square at full area
    assert int(mirrored.sum()) > 10


def test_augmentation_is_a_function_of_seed_and_position(tmp_path):
    for number in range(4):
        Image.fromarray(
            np.random.default_rng(number).integers(0, 256, (16, 20, 3), dtype=np.uint8)
        ).save(tmp_path / f"{number}.png")
    images = open_image_paths(section(augment=AugmentSection()), [str(tmp_path)])
    indices, positions = torch.arange(40) % 4, torch.arange(40) + 10**12
    torch.manual_seed(0)
    whole = images.load(indices, positions, 1)["images"]
    order = torch.randperm(40)
    assert torch.equal(
        images.load(indices[order], positions[order], 1)["images"], whole[order]
    )
    for row in (0, 39):
        assert torch.equal(
            images.load(indices[row : row + 1], positions[row : row + 1], 1)["images"][
                0
            ],
            whole[row],
        )
    assert not torch.equal(images.load(indices, positions, 2)["images"], whole)
    assert len({view.numpy().tobytes() for view in whole}) > 35
    plain = images.load(indices, None, 1)["images"]
    assert torch.equal(plain[:4], plain[36:])


@pytest.mark.parametrize("augment", [None, AugmentSection()])
def test_the_cache_changes_nothing(tmp_path, augment):
    for number in range(6):
        Image.fromarray(
            np.random.default_rng(number).integers(
                0, 256, (400, 500, 3), dtype=np.uint8
            )
        ).save(tmp_path / f"{number}.png")
    views = []
    for cache in (0, 1, 256):  # none, one image of so few, all
        images = open_image_paths(
            section(augment=augment, cache_mib=cache), [str(tmp_path)]
        )
        twice = [everything(images, torch.arange(6), 3) for _ in range(2)]
        assert torch.equal(*twice)
        views.append(twice[0])
        assert len(images._cache) == {0: 0, 1: 1, 256: 6}[cache]
    assert torch.equal(views[0], views[1])
    assert torch.equal(views[0], views[2])


@pytest.fixture
def damaged(tmp_path):
    """Five images of which the second and third are damaged."""
    for number in range(5):
        data = encoded(Image.new("RGB", (64, 64), (number, number, number)))
        (tmp_path / f"{number}.png").write_bytes(
            data[: 60 if number in (1, 2) else None]
        )
    return tmp_path


def test_a_bad_image_stops(damaged):
    images = open_image_paths(section(), [str(damaged)])
    with pytest.raises(InputError) as caught:
        everything(images)
    message = str(caught.value)
    assert message.startswith(
        f"{damaged / '1.png'} must be a complete, readable image, got "
    )
    assert message.endswith("Repair or remove it, or set data.on_bad_sample: skip.")
    assert len(message.splitlines()) == 1


def test_a_bad_image_is_skipped(damaged):
    images = open_image_paths(section(on_bad_sample="skip"), [str(damaged)])
    for _ in range(2):
        batch = images.load(torch.arange(5), None, 0)
        assert batch["images"][:, 0, 0, 0].tolist() == [
            0,
            3,
            3,
            3,
            4,
        ]  # the next readable one stands in
        assert batch["indices"].tolist() == [0, 3, 3, 3, 4]
        assert batch["skipped"] == tuple(
            str(damaged / name) for name in ("1.png", "2.png", "2.png")
        )
    assert images.load(torch.tensor([0, 4]), None, 0)["skipped"] == ()


def test_the_last_image_is_replaced_by_the_first(damaged):
    (damaged / "4.png").write_bytes(b"")
    batch = open_image_paths(section(on_bad_sample="skip"), [str(damaged)]).load(
        torch.tensor([4]), None, 0
    )
    assert batch["images"].unique().tolist() == [0]


def test_a_vanished_file_is_a_bad_image(damaged):
    images = open_image_paths(section(), [str(damaged)])
    (damaged / "3.png").unlink()
    with pytest.raises(
        InputError, match=r"3\.png \(sample 3\) must be readable, got .* Repair"
    ):
        images.load(torch.tensor([3]), None, 0)


def test_more_than_half_of_the_images_bad(damaged):
    (damaged / "4.png").write_bytes(b"bad")
    images = open_image_paths(section(on_bad_sample="skip"), [str(damaged)])
    for _ in range(3):  # the same ones do not count again
        assert images.load(torch.tensor([1, 2]), None, 0)["skipped"]
    with pytest.raises(InputError) as caught:
        everything(images)
    message = str(caught.value)
    assert message.startswith(
        "data must be right in at least half of 5 images, got 3 bad images: "
        f"{damaged / '1.png'} must be a complete, readable image"
    )
    assert message.endswith("Mend them.")


def test_no_image_is_readable(tmp_path):
    (tmp_path / "0.png").write_bytes(b"bad")
    with pytest.raises(InputError, match="half of 1 image, got 1 bad image: "):
        everything(open_image_paths(section(on_bad_sample="skip"), [str(tmp_path)]))


def test_bad_rows_of_a_table(tmp_path):
    rows = [
        {"bytes": encoded(grey(9)), "path": None},
        {"bytes": JPEG[:300], "path": None},
        None,
        {"bytes": encoded(grey(9)), "path": None},
    ]
    pq.write_table(
        pa.table({"image": rows, "label": [1, 1, 0, 0]}), tmp_path / "train.parquet"
    )
    batch = (
        images := open_images(
            section(root=str(tmp_path), on_bad_sample="skip"), "train"
        )
    ).load(torch.arange(4), None, 0)
    assert batch["skipped"] == (
        "train.parquet row 1",
        "train.parquet row 2",
        "train.parquet row 2",
    )
    assert batch["images"].unique().tolist() == [9]
    assert images.labels.tolist() == [1, 1, 0, 0]
    with pytest.raises(
        InputError,
        match="train.parquet row 2 \\(sample 2\\) must be readable, got an empty row. Repair",
    ):
        open_images(section(root=str(tmp_path)), "train").load(
            torch.tensor([2]), None, 0
        )


@pytest.mark.parametrize("channels", [1, 3])
def test_digits(channels):
    train, test = (
        open_images(section(card="digits", channels=channels), split)
        for split in ("train", "test")
    )
    assert (len(train), len(test)) == (1437, 360)
    views = everything(train)
    assert views.shape == (1437, channels, 8, 8)
    assert np.array_equal(
        views[:, 0, :, :, None].numpy(),
        np.stack([train.records.read(i) for i in range(1437)]),
    )
    assert (views == views[:, :1]).all()
    larger = open_images(
        section(card="digits", channels=channels, image_size=12), "test"
    )
    assert larger.load(torch.arange(3), None, 0)["images"].shape == (
        3,
        channels,
        12,
        12,
    )
    parts = hold_out(train, 0.1)
    assert [len(part) for part in parts] == [1293, 144]
    card, pixels = load_card("digits"), views[:, 0].double() / 255
    assert abs(float(pixels.mean()) - card.mean[0]) < 0.03
    assert abs(float(pixels.std()) - card.std[0]) < 0.03


@pytest.mark.skipif(not CIFAR.is_dir(), reason=f"CIFAR-10 is not at {CIFAR}")
@pytest.mark.parametrize(("split", "num"), [("train", 50_000), ("test", 10_000)])
def test_cifar10(split, num):
    images = open_images(section(card="cifar10", root=str(CIFAR), image_size=32), split)
    assert len(images) == load_card("cifar10").num_samples[split] == num
    assert np.bincount(images.labels).tolist() == [num // 10] * 10
    batch = images.load(torch.arange(0, num, num // 250), None, 0)
    assert batch["images"].shape == (250, 3, 32, 32)
    mean = batch["images"].double().mean((0, 2, 3)) / 255
    assert torch.allclose(
        mean, torch.tensor(load_card("cifar10").mean).double(), atol=0.03
    )
    assert images.records.name(7) == f"{split}.parquet row 7"


def test_a_root_that_bundled_images_do_not_read_is_refused():
    digits = section(card="digits", channels=1)
    assert len(open_images(digits, "train")) == 1437
    with pytest.raises(InputError, match=r"card digits.*set data\.card: image_folder"):
        open_images(digits.model_copy(update={"root": "nowhere"}), "train")
