import math

import pytest
import torch

from r2mae.errors import InputError
from r2mae.recipe import build_model, choose_accelerator, count_training_samples, load_run, make_plan, open_paths
from r2mae.schema.pretrain import load_recipe
from tests.conftest import DEMO
from tests.training.runs import train, weights


def plan(*settings, samples=1000, tokens=16):
    return make_plan(load_recipe(str(DEMO), list(settings)), samples, tokens)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        (["schedule={epochs: 10}"], math.ceil(10 * 1000 / 128)),
        (["schedule={epochs: 0.5}"], 4),
        (["schedule={steps: 77}"], 77),
        (["schedule={samples: 1000}"], 8),
        (["schedule={tokens: 100000}"], math.ceil(100000 / (128 * 16))),
    ],
)
def test_every_unit_becomes_steps(settings, steps):
    assert plan(*settings).steps == steps


def test_derived_values():
    found = plan(
        "schedule={epochs: 10, warmup_epochs: 2}", "batch={global_samples: 128, per_device_samples: 16}",
        "hardware.devices=2",
    )  # fmt: skip
    assert found.warmup_steps == round(2 * 1000 / 128)
    assert (found.accumulation, found.per_device_samples) == (4, 16)
    assert plan("optimizer={lr_per_256_samples: 1.0e-3}", "batch.global_samples=512").peak_lr == pytest.approx(2e-3)
    assert plan("optimizer={lr: 3.0e-4}", "batch.global_samples=512").peak_lr == pytest.approx(3e-4)


def test_initial_weights_follow_the_seed_alone():
    torch.manual_seed(1)
    one = build_model(load_recipe(str(DEMO))).state_dict()
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    two = build_model(load_recipe(str(DEMO))).state_dict()
    assert torch.equal(state, torch.random.get_rng_state())
    other = build_model(load_recipe(str(DEMO), ["seed=1"])).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["decoder_predict.weight"], other["decoder_predict.weight"])


def test_a_run_loads_with_its_own_weights(scratch):
    folder = train("run", "schedule.steps=4", "watch.every_steps=2", "checkpoint.every_steps=2")
    loaded = load_run("runs/run")
    saved = weights(folder, 4)
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, saved[f"model.{name}"]), name
    assert not loaded.model.training
    assert load_run("runs/run", "step_2").manifest["step"] == 2
    with pytest.raises(InputError, match="--checkpoint must be one that runs/run has"):
        load_run("runs/run", "step_3")


def test_hub_data_is_counted_by_its_card():
    recipe = load_recipe(str(DEMO), ["data={card: imagenet1k, image_size: 32, held_out: 0.01}"])
    samples, about = count_training_samples(recipe)
    assert samples == 1281167 - 12812
    assert "not here" in about["found"]


def test_paths_that_do_not_exist():
    with pytest.raises(InputError, match="must exist"):
        open_paths(load_recipe(str(DEMO)), ["nowhere.png"])


def test_more_gpus_than_there_are():
    recipe = load_recipe(str(DEMO), ["hardware.accelerator=gpu", "hardware.devices=128"])
    with pytest.raises(InputError, match="hardware.devices must be at most"):
        choose_accelerator(recipe)
    assert choose_accelerator(load_recipe(str(DEMO), ["hardware.accelerator=cpu"])) == "cpu"
