"""Every recipe in the repository: it says what it is, checks, and runs two steps on tiny input."""

import numpy as np
import pytest
from PIL import Image

from r2mae.cli.check import inspect
from r2mae.errors import InputError
from r2mae.recipe import build_training
from r2mae.schema.recipe import load_recipe, recipe_document
from r2mae.training.run_folder import RunFolder
from tests.conftest import ROOT

RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
# What makes a recipe of any size run on two cores: fewer, smaller blocks, few and small images, one device.
SMALL = ("batch={global_samples: 4}", "schedule={steps: 2}", "hardware={accelerator: cpu}", "log=[csv]")
SMALL_VIT = ("model.width=32", "model.depth=1", "model.heads=2")
SMALL_DECODER = ("model.decoder_depth=1", "model.decoder_width=16", "model.decoder_heads=2")
SMALL_TASK = {
    "pretrain": ("watch={samples: 8, knn: false, linear_probe: false}",),
    "finetune": ("watch={samples: 8}", "repeat={seeds: 1, labels_per_class: [2]}", "model.init_from=null"),
}


def small(path):
    """Overrides that make a recipe tiny; backbones shaped by model.arguments stay as they are, and are small."""
    recipe = load_recipe(str(path))
    shape = SMALL_VIT if recipe.model.encoder.startswith("vit_") else ()
    decoder = SMALL_DECODER if shape and recipe.task == "pretrain" else ()
    return (*SMALL, *SMALL_TASK[recipe.task], *shape, *decoder)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_says_what_it_is_and_how_to_run(path):
    head = path.read_text().splitlines()[0]
    assert head.startswith("# ")
    assert "Run: " in head


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_checks(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    report = inspect(str(path), [])
    plans = report["plans"].values() if "plans" in report else [report["plan"]]
    assert all(plan["steps"] > 0 for plan in plans)
    assert report["recipe"]["task"] == "finetune" or len(report["levels"]) >= 1


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_runs_two_steps(path, scratch):
    size = load_recipe(str(path)).data.image_size
    for number in range(12):
        file = scratch / "images" / "train" / f"class_{number % 2}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (size, size + 3, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
    recipe = load_recipe(str(path), [*small(path), "data.card=image_folder", f"data.root={scratch / 'images'}",
                                     "data.held_out=0.5"])  # fmt: skip
    folder = RunFolder("runs/run")
    training = build_training(recipe, folder)
    folder.start(recipe_document(recipe))
    metrics = training.run()
    assert metrics["validation/loss"] > 0
    assert folder.pointer("last").name == "step_2"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_refuses_a_misspelt_section(path):
    with pytest.raises(InputError, match="hardwear"):
        load_recipe(str(path), ["hardwear.devices=1"])
