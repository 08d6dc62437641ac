import math

import pytest

from r2mae.recipe.load import load_recipe
from r2mae.recipe.plan import make_plan
from tests.conftest import DEMO


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
    assert plan(
        "optimizer={lr_per_256_samples: 1.0e-3}", "batch.global_samples=512"
    ).peak_lr == pytest.approx(2e-3)
    assert plan(
        "optimizer={lr: 3.0e-4}", "batch.global_samples=512"
    ).peak_lr == pytest.approx(3e-4)


def per_sample(steps):
    """Cost of a measurement that grows with its samples."""
    return lambda samples: samples * steps


def measured(cost, *settings):
    recipe = load_recipe(str(DEMO), ["watch={}", "schedule={steps: 1000}", *settings])
    return make_plan(recipe, 1000, 16, cost)


def test_cheap_measurements_are_ten():
    plan = measured(per_sample(0.001))  # 1 step each
    assert (plan.watch_every_steps, plan.watch_samples) == (100, 1000)
    assert plan.watch_share == pytest.approx(10 * 1 / 1000)


def test_measurements_cost_at_most_a_tenth_of_training():
    plan = measured(per_sample(0.03))  # 30 steps each
    assert plan.watch_every_steps == 334  # 3 of them
    assert plan.watch_samples == 1000
    assert plan.watch_share == pytest.approx(0.09)


def test_fewer_samples_where_a_single_measurement_costs_too_much():
    plan = measured(per_sample(0.25))  # 250 steps with 1,000 samples
    assert (plan.watch_every_steps, plan.watch_samples) == (1000, 250)
    assert plan.watch_share == pytest.approx(0.0625)
    assert measured(per_sample(100.0)).watch_samples == 50


def test_what_a_recipe_sets_is_kept_and_priced():
    plan = measured(per_sample(0.03), "watch={every_steps: 100, samples: 500}")
    assert (plan.watch_every_steps, plan.watch_samples) == (100, 500)
    assert plan.watch_share == pytest.approx(0.15)
