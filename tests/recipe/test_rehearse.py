"""A step of one recipe of each kind on a fake GPU."""

import json

import pytest
import torch

from r2mae.cli.main import main
from r2mae.modalities.vision.models.autoencoder import MaskedAutoencoder
from r2mae.recipe.load import load_recipe
from r2mae.recipe.rehearse import rehearse
from r2mae.recipe.shipped import shipped_recipes
from tests.conftest import DEMO, ROOT


def first_of_each_kind():
    """Recipes that differ in task, wing, encoder, target, or in how steps are compiled and shared."""
    kinds = {}
    for path in sorted(shipped_recipes().values()):
        recipe = load_recipe(str(path))
        hardware, target = recipe.hardware, getattr(recipe, "tune", None)
        kind = (type(recipe), recipe.model.encoder, str(target and target.target))
        kinds.setdefault((*kind, hardware.compile, hardware.strategy), path)
    return list(kinds.values())


RECIPES = first_of_each_kind()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_no_step_waits_for_the_device(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    recipe = load_recipe(str(path))
    rehearsal = rehearse(recipe)
    assert not rehearsal.waits
    assert not rehearsal.unused
    assert rehearsal.world_size == recipe.hardware.nodes * recipe.hardware.devices
    assert rehearsal.nbytes > 0


def test_memory_grows_with_the_micro_batch():
    def nbytes(samples):
        sizes = [f"batch={{global_samples: {samples}}}", "schedule.steps=2"]
        return rehearse(
            load_recipe(str(DEMO), [*sizes, "schedule.warmup_steps=1"])
        ).nbytes

    state, sample = nbytes(32), nbytes(64) - nbytes(32)
    assert nbytes(128) == pytest.approx(state + 3 * sample, rel=0.05)


def test_memory_of_an_average_and_of_shards():
    """Few samples for the model, so that the end of backward needs most under FSDP."""
    wide = ["batch.global_samples=8", "model.width=128", "model.heads=4"]
    wide.append("mask.scope=step")

    def nbytes(*settings):
        return rehearse(load_recipe(str(DEMO), [*wide, *settings])).nbytes

    plain = nbytes()
    trained = nbytes("training.ema=0.99") - plain
    assert 0.15 * plain < trained < 0.25 * plain  # one of four, and activations
    sharded = nbytes("hardware.devices=8", "hardware.strategy=fsdp")
    assert sharded == pytest.approx((2 + 3 / 8) * trained, rel=0.01)


def test_a_wait_in_a_model_is_found(monkeypatch):
    forward = MaskedAutoencoder.forward

    def waiting(model, batch, mask):
        batch["images"].cpu()
        return forward(model, batch, mask)

    monkeypatch.setattr(MaskedAutoencoder, "forward", waiting)
    ((place, count),) = rehearse(load_recipe(str(DEMO))).waits.items()
    assert count == 1
    assert "copy to the host" in place


def test_a_parameter_without_gradient_is_found(monkeypatch):
    build = MaskedAutoencoder.__init__

    def with_spare(model, *arguments, **options):
        build(model, *arguments, **options)
        model.spare = torch.nn.Parameter(torch.zeros(3))

    monkeypatch.setattr(MaskedAutoencoder, "__init__", with_spare)
    assert rehearse(load_recipe(str(DEMO))).unused == ("spare",)


def test_a_tensor_on_the_host_is_an_error(monkeypatch):
    monkeypatch.setattr(
        MaskedAutoencoder, "_patch_positions", lambda _: torch.zeros(1, 16, 64)
    )
    with pytest.raises(RuntimeError, match="devices"):
        rehearse(load_recipe(str(DEMO)))


def test_the_command_prints_it(scratch, capsys):
    assert main(["check", str(DEMO), "--rehearse"]) == 0
    assert "a step of rank 0 of 1 on a fake GPU" in capsys.readouterr().out
    assert main(["check", str(DEMO), "--rehearse", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rehearsal"]["waits"] == {}
