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
