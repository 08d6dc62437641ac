"""Issue 19, item 3: pixels of the files that people have."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from r2mae.cli.main import main
from r2mae.errors import InputError
from r2mae.modalities.vision.images import open_image_objects, open_image_paths
from r2mae.modalities.vision.pixels import decode, reduction
from r2mae.modalities.vision.schema import VisionData
from r2mae.modalities.vision.survey import highest_value
from tests.conftest import DEMO, TINY
from tests.modalities.vision.test_image_files import check

RAMP12 = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)
BANDS = np.random.default_rng(0).integers(0, 256, (8, 8, 6), dtype=np.uint8)


def section(**fields):
    return VisionData(
        **{"card": "image_folder", "image_size": 8, "augment": None} | fields
    )


def file_of(image, kind="TIFF", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def refusal(raw, **fields):
    with pytest.raises(InputError) as caught:
        decode(raw, section(**fields), "a.tif")
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "npy"])
def test_case_5_value_range_of_12_bits_in_16(kind):
    raw = npy(RAMP12) if kind == "npy" else file_of(Image.fromarray(RAMP12), kind)
    plain = decode(raw, section(channels=1), "a")[:, :, 0]
    assert plain.max() == 16  # nearly black
    ranged = decode(raw, section(channels=1, value_range=(0, 4095)), "a")[:, :, 0]
    expected = np.rint(RAMP12 / 4095 * 255)
    assert np.array_equal(ranged, expected)


def test_case_5_values_outside_value_range_are_clipped():
    raw = file_of(Image.fromarray(np.float32([[-2000, -1000, 0, 1000, 9000]])))
    pixels = decode(raw, section(channels=1, value_range=(-1000, 1000)), "a")
    assert pixels.ravel().tolist() == [0, 0, 128, 255, 255]


def test_case_5_floats_from_0_to_1_are_scaled():
    raw = file_of(Image.fromarray(np.float32([[0, 0.25, 0.5, 1]])))
    for channels in (1, 3):
        pixels = decode(raw, section(channels=channels), "a")
        assert pixels[0, :, 0].tolist() == [0, 64, 128, 255]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [0.0, 200.0],
            "float32 values from 0 to 1, got 0 to 200. Set data.value_range",
        ),
        ([-0.5, 0.5], "got -0.5 to 0.5"),
        ([0.0, float("nan")], "must have finite pixel values"),
    ],
)
def test_case_5_other_floats_are_refused(values, message):
    assert message in refusal(file_of(Image.fromarray(np.float32([values]))))


def test_case_5_a_fourth_band_is_kept_or_said():
    for mode in ("RGBA", "CMYK"):
        raw = file_of(Image.frombytes(mode, (8, 8), BANDS[:, :, :4].tobytes()))
        assert np.array_equal(decode(raw, section(channels=4), "a"), BANDS[:, :, :4])
    # An extra band without meaning, of which Pillow reads nothing.
    raw = file_of(Image.frombytes("RGBX", (8, 8), BANDS[:, :, :4].tobytes()))
    assert np.array_equal(decode(raw, section(channels=4), "a"), BANDS[:, :, :4])
    message = "must have data.channels 3 bands, got 4. Set data.channels: 4"
    assert message in refusal(raw)


def test_issue_19_3_bands_of_npy_and_of_pages():
    assert np.array_equal(decode(npy(BANDS), section(channels=6), "a"), BANDS)
    pages = [Image.fromarray(band) for band in np.moveaxis(BANDS, 2, 0)]
    raw = file_of(pages[0], save_all=True, append_images=pages[1:])
    assert np.array_equal(decode(raw, section(channels=6), "a"), BANDS)
    first = decode(raw, section(channels=1), "a")
    assert np.array_equal(first[:, :, 0], BANDS[:, :, 0])
    assert "got 5. Set data.channels: 5" in refusal(npy(BANDS[:, :, :5]), channels=6)
    assert "must hold numbers, got <U1" in refusal(npy(np.array([["a"]])))


def test_issue_19_3_bands_are_resized_one_by_one(tmp_path):
    """Pillow would weight three bands by the fourth, as by transparency."""
    bands = BANDS[:, :, :4].copy()
    bands[:, :, 3] = 0
    np.save(tmp_path / "a.npy", bands)
    images = open_image_paths(section(channels=4, image_size=4), [str(tmp_path)])
    view = images.load(torch.arange(1), None, 0)["images"][0]
    for band in range(4):
        small = Image.fromarray(bands[:, :, band]).resize((4, 4), Image.BICUBIC)
        assert np.array_equal(view[band].numpy(), np.asarray(small))


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_case_5_exif_orientation_is_applied(orientation):
    image = Image.fromarray(BANDS[:, :4, :3])
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(file_of(image, "PNG", exif=exif.tobytes()), section(), "a")
    turns = {3: 2, 6: 3, 8: 1}[orientation]
    assert np.array_equal(pixels, np.rot90(BANDS[:, :4, :3], turns))


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_case_5_transparent_pixels_are_the_background(mode):
    image = Image.new("RGBA", (4, 4), (200, 10, 20, 255))
    image.paste((1, 2, 3, 0), (0, 0, 4, 2))
    raw = file_of(image if mode == "RGBA" else image.quantize(4), "PNG")
    pixels = decode(raw, section(), "a")
    assert np.unique(pixels[:2]).tolist() == [255]
    assert pixels[3, 0].tolist() == [200, 10, 20]
    pixels = decode(raw, section(background=(0, 50, 100)), "a")
    assert pixels[0, 0].tolist() == [0, 50, 100]


def test_issue_19_3_size_has_a_limit_of_its_own(monkeypatch):
    raw = file_of(Image.new("L", (400, 300)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow's would be exceeded
    assert decode(raw, section(), "a").shape == (300, 400, 3)
    assert Image.MAX_IMAGE_PIXELS == 1000
    message = refusal(raw, max_megapixels=0.1)
    assert "must have at most 0.1 megapixels, got 0" in message
    assert "Set data.max_megapixels; reading it takes about" in message


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_issue_19_3_huge_images_are_read_at_a_lower_resolution(kind, monkeypatch):
    monkeypatch.setattr("r2mae.modalities.vision.pixels._HUGE", 1000)
    ramp = np.linspace(0, 255, 120).astype(np.uint8)
    raw = file_of(Image.fromarray(np.tile(ramp, (160, 1))), kind)
    exact = section(image_size=8, channels=1)
    assert reduction((120, 160), exact) == 12
    pixels = decode(raw, exact, "a")
    assert 8 <= min(pixels.shape[:2]) <= 16
    full = np.asarray(Image.fromarray(np.tile(ramp, (160, 1))).resize((8, 8)))
    small = np.asarray(Image.fromarray(pixels[:, :, 0]).resize((8, 8)))
    assert np.abs(full.astype(int) - small).max() <= 6
    # Crops of 20 % of the area need more pixels.
    assert reduction((120, 160), section(image_size=8, augment={})) == 5


def test_objects_in_memory_are_read_as_files_are(tmp_path):
    image = Image.fromarray(RAMP12)
    image.save(tmp_path / "a.png")
    ranged = section(channels=1, value_range=(0, 4095))
    rows = torch.arange(1)
    by_file = open_image_paths(ranged, [str(tmp_path)]).load(rows, None, 0)["images"]
    for item in (image, RAMP12, RAMP12.astype(np.float64)):
        by_object = open_image_objects(ranged, item).load(rows, None, 0)["images"]
        assert torch.equal(by_file, by_object)


def test_issue_19_3_check_describes_a_sample_of_files(tmp_path, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    folder = tmp_path / "train"
    folder.mkdir()
    Image.new("RGB", (8, 6)).save(folder / "a.jpg", exif=exif)
    Image.new("RGBA", (20, 9)).save(folder / "b.png")
    pages = [Image.new("L", (8, 8)), Image.new("L", (8, 8))]
    pages[0].save(folder / "c.tif", save_all=True, append_images=pages[1:])
    for number in range(20):
        Image.fromarray(RAMP12).save(folder / f"d{number}.png")
    line = check(tmp_path, capsys, "data.held_out=0.4")["pixels"]
    assert line.startswith("16 of 23 files: 1 RGB (JPEG), ")
    assert "8 x 6 pixels to 8 x 8" in line or "to 20 x 9" in line
    assert "1 turned upright by EXIF" in line
    assert "16-bit values end at 4,095 and will look nearly black" in line
    assert "set data.value_range: [0, 4095]" in line
    assert "ms to decode one" in line


@pytest.mark.parametrize(
    ("dtype", "highest", "warns"),
    [("uint16", 200, True), ("int32", 255, True), ("uint16", 1, False)],
)
def test_8_bit_values_in_deeper_files_are_warned_of(
    tmp_path, capsys, dtype, highest, warns
):
    folder = tmp_path / "train"
    folder.mkdir()
    for number in range(20):
        values = np.full((8, 8), highest, dtype)
        Image.fromarray(values).save(folder / f"{number}.tif")
    line = check(tmp_path, capsys, "data.held_out=0.4")["pixels"]
    assert ("nearly black: set data.value_range: [0, 255]" in line) == warns


def test_8_bit_arrays_are_not_dark(tmp_path):
    assert highest_value(npy(np.full((8, 8), 9, np.uint8))) is None


@pytest.mark.parametrize("channels", [1, 3])
def test_lab_colours_are_read_in_colour_and_grey(channels):
    image = Image.new("RGB", (8, 8), (200, 100, 50))
    lab = ImageCms.profileToProfile(
        image,
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    pixels = decode(file_of(lab, "TIFF"), section(channels=channels), "a.tif")
    expected = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    assert pixels.shape == (8, 8, channels)
    assert np.abs(pixels[0, 0] - expected[0, 0].astype(int)).max() < 12


def test_issue_19_3_dark_images_are_warned_of_in_training(scratch, capsys):
    (scratch / "images").mkdir()
    for number in range(20):
        Image.fromarray(RAMP12 // (1 + number % 2)).save(f"images/{number}.png")
    overrides = (
        *TINY,
        "data={card: image_folder, root: images, image_size: 8, channels: 1}",
        "data.held_out=0.4",
        "schedule={steps: 2}",
        "watch={samples: 8, knn: false, linear_probe: false}",
    )
    arguments = [part for one in overrides for part in ("--set", one)]
    assert main(["pretrain", str(DEMO), "--name", "run", *arguments]) == 0
    warned = "data: 16-bit values end at 4,095 and will look nearly black: set data."
    assert capsys.readouterr().err.count(warned) == 1


def test_issue_19_3_four_bands_train_and_embed(scratch):
    (scratch / "images").mkdir()
    draw = np.random.default_rng(0)
    for number in range(24):
        bands = draw.integers(0, 256, (9, 12, 4), dtype=np.uint8)
        np.save(f"images/{number}.npy", bands)
    overrides = (
        *TINY,
        "data={card: image_folder, root: images, image_size: 8, channels: 4}",
        "data.held_out=0.4",
        "schedule={steps: 2}",
        "watch={samples: 8, knn: false, linear_probe: false, pictures: true}",
    )
    arguments = [part for one in overrides for part in ("--set", one)]
    assert main(["pretrain", str(DEMO), "--name", "run", *arguments]) == 0
    assert main(["embed", "runs/run", "images", "-o", "features.npy"]) == 0
    assert np.load("features.npy").shape == (24, 16)
    assert list((scratch / "runs/run/pictures").glob("*.png"))


def tiff(bands, *, order="<", planar=1, predictor=1, deflate=True, rows=4):
    """A TIFF (H, W, S) in strips of `rows`, written by hand: Pillow writes few kinds."""
    height, width, samples = bands.shape
    kind = {"u": 1, "i": 2, "f": 3}[bands.dtype.kind]
    bands = bands.astype(bands.dtype.newbyteorder(order))
    planes = np.moveaxis(bands, 2, 0) if planar == 2 else bands[None]
    strips = []
    for plane in planes:
        for top in range(0, height, rows):
            part = plane[top : top + rows].copy()
            if predictor == 2:
                part[:, 1:] = part[:, 1:] - part[:, :-1]
            strips.append(zlib.compress(part.tobytes()) if deflate else part.tobytes())
    tags = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [bands.dtype.itemsize * 8] * samples),
        259: ("H", [8 if deflate else 1]),
        262: ("H", [1]),
        273: ("I", [0] * len(strips)),
        277: ("H", [samples]),
        278: ("I", [rows]),
        279: ("I", [len(strip) for strip in strips]),
        284: ("H", [planar]),
        317: ("H", [predictor]),
        338: ("H", [0] * (samples - 1)),
        339: ("H", [kind] * samples),
    }
    place = 8 + 2 + 12 * len(tags) + 4
    far = b""
    sizes = {tag: struct.calcsize(f"{len(v)}{t}") for tag, (t, v) in tags.items()}
    start = place + sum(size for size in sizes.values() if size > 4)
    starts = np.cumsum([start] + [len(strip) for strip in strips[:-1]]).tolist()
    tags[273] = ("I", starts)
    entries = b""
    for tag, (letter, values) in tags.items():
        packed = struct.pack(f"{order}{len(values)}{letter}", *values)
        kind_code = {"H": 3, "I": 4}[letter]
        entries += struct.pack(f"{order}HHI", tag, kind_code, len(values))
        if len(packed) > 4:
            entries += struct.pack(f"{order}I", place + len(far))
            far += packed
        else:
            entries += packed.ljust(4, b"\0")
    magic = b"II" if order == "<" else b"MM"
    header = magic + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return header + entries + bytes(4) + far + b"".join(strips)


@pytest.mark.parametrize("layout", [{}, {"planar": 2}, {"predictor": 2}])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_issue_19_3_tiffs_with_many_bands(layout, order, dtype):
    highest = 4095 if dtype == np.uint16 else 255
    draw = np.random.default_rng(1)
    bands = draw.integers(0, highest + 1, (8, 6, 5)).astype(dtype)
    raw = tiff(bands, order=order, **layout)
    ranged = section(channels=5, value_range=(0, highest))
    pixels = decode(raw, ranged, "a")
    assert np.array_equal(pixels, np.rint(bands / highest * 255))


def test_issue_19_3_tiffs_with_bands_of_floats_and_of_16_bit_colour():
    unit = np.random.default_rng(1).random((8, 6, 7), dtype=np.float32)
    pixels = decode(tiff(unit, deflate=False), section(channels=7), "a")
    assert np.array_equal(pixels, np.rint(unit * 255))
    with pytest.raises(InputError, match="planes that do not end with a strip"):
        decode(tiff(unit, planar=2, rows=3), section(channels=7), "a")


def test_case_5_colour_png_of_16_bits_with_value_range_is_refused():
    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + bytes(12) for _ in range(2)))
    raw = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")):
        check_sum = zlib.crc32(kind + content)
        size = struct.pack(">I", len(content))
        raw += size + kind + content + struct.pack(">I", check_sum)
    assert decode(raw, section(), "a").shape == (2, 2, 3)
    assert "Pillow reads 8 of the bits" in refusal(raw, value_range=(0, 4095))
