"""Issue 19, item 3: inputs that are not square, `data.image_size: [height, width]`."""

import numpy as np
import pytest
import torch
from PIL import Image
from timm.layers import resample_abs_pos_embed

from r2mae.cli.main import main
from r2mae.modalities.vision.images import open_image_paths
from r2mae.modalities.vision.mixing import _box
from r2mae.modalities.vision.schema import AugmentSection, VisionData
from r2mae.recipe.assembly import build_model
from r2mae.recipe.load import load_recipe
from r2mae.recipe.run import load_run
from tests.conftest import DEMO, TINY

SETTINGS = (
    *TINY,
    "data={card: image_folder, root: images, image_size: [8, 16], channels: 3}",
    "data.held_out=0.4",
    "schedule={steps: 2}",
    "watch={samples: 8, knn: false, linear_probe: false, pictures: true}",
)
RESNET = (
    "model={encoder: resnet18, patch_size: 8, arguments: {channels: [4, 4, 8, 8], "
    "layers: [1, 1, 1, 1]}}",
    "data.image_size=[32, 64]",
)


def section(**fields):
    return VisionData(**{"card": "image_folder", "augment": None} | fields)


def pretrain(name, *settings):
    arguments = [part for one in (*SETTINGS, *settings) for part in ("--set", one)]
    return main(["pretrain", str(DEMO), "--name", name, *arguments])


@pytest.fixture
def images(scratch):
    draw = np.random.default_rng(0)
    (scratch / "images").mkdir()
    for number in range(24):
        pixels = draw.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"images/{number}.png")
    return scratch


def test_equal_sides_are_one_side():
    assert section(image_size=(8, 8)) == section(image_size=8)


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((16, 8), (0, 0, 16, 8)),  # (width, height): fits as it is
        ((16, 16), (0, 4, 16, 12)),
        ((40, 8), (12, 0, 28, 8)),
        ((80, 80), (0, 20, 80, 60)),
    ],
)
def test_evaluation_takes_the_largest_central_box(tmp_path, size, box):
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.png")
    source = open_image_paths(section(image_size=(8, 16)), [str(tmp_path)])
    view = source.load(torch.arange(1), None, 0)["images"]
    assert view.shape == (1, 3, 8, 16)
    expected = image.resize((16, 8), Image.BICUBIC, box=box)
    assert np.array_equal(view[0].permute(1, 2, 0).numpy(), np.asarray(expected))


def test_crops_keep_the_aspect_ratio_on_average(tmp_path):
    """A picture of its row numbers shows the height of a crop, of columns its width."""
    height, width = 64, 128
    rows = np.broadcast_to(np.arange(height)[:, None], (height, width))
    columns = np.broadcast_to(np.arange(width), (height, width))
    picture = np.stack([rows, columns, columns], axis=2).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    augment = AugmentSection(crop_scale=(0.3, 0.3), flip=False)
    source = open_image_paths(
        section(image_size=(8, 16), augment=augment), [str(tmp_path)]
    )
    views = source.load(torch.zeros(200, dtype=torch.int64), torch.arange(200), 0)
    spans = views["images"].float().flatten(2)
    crop_height, crop_width, _ = (spans.amax(2) - spans.amin(2)).mean(0).tolist()
    assert 1.7 < crop_width / crop_height < 2.3


def test_boxes_of_cutmix_are_of_the_shape():
    rows, columns = _box(8, 16, 0.75, 0.5, 0.5)
    assert (rows, columns) == (slice(2, 6), slice(4, 12))


@pytest.mark.parametrize("settings", [(), RESNET], ids=["vit", "resnet"])
def test_issue_19_3_a_run_on_rectangles(images, settings):
    assert pretrain("run", *settings) == 0
    assert list(images.glob("runs/run/pictures/*.png"))
    assert main(["embed", "runs/run", "images", "-o", "features.npy"]) == 0
    assert np.load("features.npy").shape[0] == 24
    assert main(["reconstruct", "runs/run", "images/0.png"]) == 0
    assert main(["export", "runs/run", "out", "--to", "timm"]) == 0
    assert main(["export", "runs/run", "out2", "--to", "transformers"]) == 2


def test_positions_of_rectangles_are_resampled(images):
    assert pretrain("run") == 0
    source = load_run("runs/run").model.encoder.pos_embed
    grids = {"[16, 8]": [8, 4], "[16, 16]": [8, 8], "[8, 16]": [4, 8]}
    for size, grid in grids.items():
        settings = [*SETTINGS, f"data.image_size={size}", "model.init_from=runs/run"]
        model = build_model(load_recipe(str(DEMO), settings))
        expected = source
        if grid != [4, 8]:
            expected = resample_abs_pos_embed(source, grid, [4, 8])
        assert torch.equal(model.encoder.pos_embed, expected)


def test_rectangles_are_rehearsed(scratch):
    arguments = [part for one in SETTINGS for part in ("--set", one)]
    arguments += ["--set", "data.root=null"]
    assert main(["check", str(DEMO), *arguments]) == 2  # no data at all
    arguments += ["--set", "data.card=imagenet1k"]
    assert main(["check", str(DEMO), *arguments, "--rehearse"]) == 0
