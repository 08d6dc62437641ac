"""Training in this process: short runs of the tiny recipe, and what came of them."""

import shutil

import pytest
from PIL import Image
from safetensors.torch import load_file

from r2mae.errors import InputError
from r2mae.recipe.load import load_recipe
from r2mae.recipe.trainer import is_first_process
from r2mae.recipe.training import build_training
from r2mae.schema.recipe import recipe_document
from r2mae.training.checkpoint import MODEL, OPTIMIZER, read_manifest, save
from r2mae.training.run_folder import RunFolder, saved_step
from tests.conftest import DEMO, TINY

SPOILED = "model.encoder.blocks.1.mlp.fc1.weight"


def prepare(name, *more):
    """(Training, RunFolder) of the tiny recipe with overrides; continues what lies in runs/<name>."""
    recipe = load_recipe(str(DEMO), [*TINY, *more])
    folder = RunFolder(f"runs/{name}")
    folder.check(recipe_document(recipe), "test")
    training = build_training(recipe, folder)
    if is_first_process():  # a test may run this as several ranks
        folder.start(recipe_document(recipe))
    return training, folder


def train(name, *more):
    """Run to the end; the folder."""
    training, folder = prepare(name, *more)
    training.run()
    return folder


def cut(folder, name):
    """A copy of a finished run as a kill would have left it before its last checkpoint."""
    copy = RunFolder(folder.path.with_name(name))
    shutil.copytree(folder.path, copy.path)
    *_, earlier, last = copy.saved()
    shutil.rmtree(last)
    copy.point("last", earlier)
    copy.write_status(status="running", step=saved_step(earlier))
    return copy


def spoil(name, mode="stop"):
    """Folder of a run with an infinity in one weight of its last checkpoint, continued until that was noticed.

    mode: training.on_nonfinite of the continued run.
    """
    settings = ("schedule.steps=20", "batch.per_device_samples=8")
    first, folder = prepare(name, *settings)
    first.module.num_steps = 6
    first.run()
    last = folder.pointer("last")
    assert last.name == "step_6"
    tensors, moments = (load_file(last / file) for file in (MODEL, OPTIMIZER))
    manifest = read_manifest(last)
    tensors[SPOILED][3, 5] = float("inf")
    about = {key: manifest[key] for key in manifest if key not in ("format", "sha256")}
    save(last, {MODEL: tensors, OPTIMIZER: moments}, about)
    training, _ = prepare(name, *settings, f"training.on_nonfinite={mode}")
    with pytest.raises(InputError, match="step 1?7 must have"):
        training.run()
    return folder


def broken_images(folder):
    """Settings of a run of two steps over images, of which every third cannot be read."""
    for number in range(48):
        path = folder / "train" / f"class_{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % 3:
            Image.effect_noise((16, 16), 40 + number).save(path)
        else:
            path.write_bytes(b"broken")
    data = f"{{card: image_folder, root: {folder}, image_size: 16, held_out: 0.25, on_bad_sample: skip}}"
    # Probes would read all images.
    watch = ("watch.samples=8", "watch.knn=false", "watch.effective_rank=false")
    steps = ("schedule.steps=2", "schedule.warmup_steps=1")
    return (f"data={data}", "model.patch_size=4", *steps, *watch)


def weights(folder, step):
    """Every tensor of a checkpoint, optimizer's included."""
    path = folder.checkpoints / f"step_{step}"
    return load_file(path / "model.safetensors") | load_file(
        path / "optimizer.safetensors"
    )


def largest_difference(one, other):
    """Over all tensors of two equal-named sets."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def metric(folder, name):
    """{step: value} of one metric in metrics.csv."""
    rows = [line.split(",") for line in folder.metrics.read_text().splitlines()[1:]]
    return {int(step): float(value) for step, found, value in rows if found == name}
