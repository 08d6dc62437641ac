"""Training in this process: short runs of the tiny recipe, and what came of them."""

from safetensors.torch import load_file

from r2mae.recipe.load import load_recipe
from r2mae.recipe.trainer import is_first_process
from r2mae.recipe.training import build_training
from r2mae.schema.recipe import recipe_document
from r2mae.training.run_folder import RunFolder
from tests.conftest import DEMO, TINY


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
