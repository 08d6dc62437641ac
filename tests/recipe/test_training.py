import pytest
import torch

from r2mae.errors import InputError
from r2mae.recipe import build_model, choose_accelerator
from r2mae.recipe.training import _synchronise_batch_norm, has_batch_norm
from r2mae.schema.pretrain import load_recipe
from tests.conftest import DEMO


def test_more_gpus_than_there_are():
    recipe = load_recipe(str(DEMO), ["hardware.accelerator=gpu", "hardware.devices=128"])
    with pytest.raises(InputError, match="hardware.devices must be at most"):
        choose_accelerator(recipe)
    assert choose_accelerator(load_recipe(str(DEMO), ["hardware.accelerator=cpu"])) == "cpu"


RESNET = ("model={encoder: resnet18, patch_size: 8, arguments: {channels: [8, 8, 8, 8], layers: [1, 1, 1, 1]}}",
          "data.image_size=32")  # fmt: skip


def test_batch_norm_is_synchronised_over_gpus_and_keeps_its_names(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    recipe = load_recipe(str(DEMO), [*RESNET, "hardware.devices=2"])
    model = build_model(recipe)
    assert has_batch_norm(model)
    names, same = list(model.state_dict()), _synchronise_batch_norm(model, load_recipe(str(DEMO), [*RESNET]))
    assert same is model
    on_cpu = load_recipe(str(DEMO), [*RESNET, "hardware={devices: 2, accelerator: cpu}"])
    assert _synchronise_batch_norm(model, on_cpu) is model
    synchronised = _synchronise_batch_norm(model, recipe)
    norms = [m for m in synchronised.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(norm, torch.nn.SyncBatchNorm) for norm in norms)
    assert list(synchronised.state_dict()) == names
    assert not has_batch_norm(build_model(load_recipe(str(DEMO))))
