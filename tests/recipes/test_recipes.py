"""Every recipe in the repository: it says what it is, checks, and runs two steps on tiny input."""

import re

import pytest

from r2mae.errors import InputError
from r2mae.modalities import find_wing
from r2mae.recipe.load import load_recipe
from r2mae.recipe.shipped import shipped_recipes
from r2mae.recipe.summary import summarize
from r2mae.recipe.training import build_training
from r2mae.schema.recipe import recipe_document
from r2mae.training.run_folder import RunFolder
from tests.conftest import ROOT

RECIPES = sorted(shipped_recipes().values())
# What makes a recipe of any size run on two cores: fewer, smaller blocks, few and small images, one device.
SMALL = (
    "batch={global_samples: 8}",  # holds every level of a stratified law
    "schedule={steps: 2}",
    "hardware={accelerator: cpu}",
    "log=[csv]",
)
SMALL_VIT = ("model.width=32", "model.depth=1", "model.heads=2")
SMALL_DECODER = (
    "model.decoder_depth=1",
    "model.decoder_width=16",
    "model.decoder_heads=2",
)
SMALL_TASK = {
    "pretrain": (
        "watch={samples: 8, knn: false, linear_probe: false}",
        "model.init_from=null",
    ),
    "finetune": (
        "watch={samples: 8}",
        "repeat={seeds: 1, labels_per_class: [2]}",
        "model.init_from=null",
    ),
}
# Of stand-in data; images keep their size, which belongs to the architecture.
SMALL_SAMPLES = {
    "cell": ("data.genes={top_variable: 30}",),
    "dna": ("data.length=32",),
    "language": ("data.length=16",),
    "vision": (),
    "algebra": (),
}


def small(path):
    """Overrides that make a recipe tiny; backbones shaped by model.arguments stay as they are, and are small."""
    recipe = load_recipe(str(path))
    if recipe.modality == "cell":
        shape = {
            "mlp": ("model.width=16", "model.hidden=16"),
            "transformer": ("model.width=16", "model.depth=1"),
        }
        return (*SMALL, *SMALL_TASK[recipe.task], *shape[recipe.model.encoder])
    if recipe.modality == "algebra":
        return (*SMALL, *SMALL_TASK[recipe.task], "model.width=16")
    if recipe.modality == "dna":
        blocks = (
            ()
            if recipe.model.encoder == "conv"
            else ("model.heads=2", "model.hidden=16")
        )
        return (
            *SMALL,
            *SMALL_TASK[recipe.task],
            "model.width=16",
            "model.depth=2",
            *blocks,
        )
    if recipe.modality == "language":
        has_classes = recipe.task != "finetune" or recipe.tune.target.name == "classes"
        return (
            *SMALL,
            *SMALL_TASK[recipe.task],
            *([] if has_classes else ["repeat={seeds: 1}"]),
            "model.width=16",
            "model.depth=2",
            "model.heads=2",
            "model.hidden=16",
        )
    shape = SMALL_VIT if recipe.model.encoder.startswith("vit_") else ()
    decoder = SMALL_DECODER if shape and recipe.task == "pretrain" else ()
    # Stand-in data has an image for each of many classes.
    is_tuned = recipe.task == "finetune" and recipe.data.card == "imagenet1k"
    labels = ("repeat={seeds: 1, labels_per_class: [1]}",) if is_tuned else ()
    return (*SMALL, *SMALL_TASK[recipe.task], *shape, *decoder, *labels)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_says_what_it_is_for_and_how_to_run_it(path):
    purpose, command = path.read_text().splitlines()[:2]
    assert re.fullmatch(r"# (Demo: p|P|F|C)[a-z-]+ .{10,90}\.", purpose)
    assert command.startswith("# Run: r2mae ")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_names_recipes_that_exist(path):
    for name in re.findall(r"recipes/[\w/]+\.yaml", path.read_text()):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_checks(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    report = summarize(load_recipe(str(path)))
    plans = report["plans"].values() if "plans" in report else [report["plan"]]
    assert all(plan["steps"] > 0 for plan in plans)
    assert report["recipe"]["task"] == "finetune" or len(report["levels"]) >= 1


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_runs_two_steps(path, scratch):
    modality = load_recipe(str(path)).modality
    settings = [*small(path), *SMALL_SAMPLES[modality]]
    recipe = load_recipe(str(path), settings)
    data = scratch / "data"
    data.mkdir()
    files = find_wing(recipe.modality).stand_in(recipe, data)
    two_steps(load_recipe(str(path), [*settings, *files]))


def two_steps(recipe):
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
