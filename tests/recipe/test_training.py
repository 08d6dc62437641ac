import pytest

from r2mae.errors import InputError
from r2mae.recipe import choose_accelerator
from r2mae.schema.recipe import load_recipe
from tests.conftest import DEMO


def test_more_gpus_than_there_are():
    recipe = load_recipe(str(DEMO), ["hardware.accelerator=gpu", "hardware.devices=128"])
    with pytest.raises(InputError, match="hardware.devices must be at most"):
        choose_accelerator(recipe)
    assert choose_accelerator(load_recipe(str(DEMO), ["hardware.accelerator=cpu"])) == "cpu"
