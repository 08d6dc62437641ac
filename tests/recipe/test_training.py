from contextlib import nullcontext

import numpy as np
import pytest
import torch
from PIL import Image
from timm.layers import resample_abs_pos_embed

from r2mae.errors import InputError
from r2mae.recipe import training
from r2mae.recipe.assembly import build_model
from r2mae.recipe.load import load_recipe
from r2mae.recipe.trainer import (
    choose_accelerator,
    has_batch_norm,
    synchronise_batch_norm,
)
from tests.conftest import DEMO
from tests.training.runs import metric, prepare, train, weights


def test_more_gpus_than_there_are():
    recipe = load_recipe(
        str(DEMO),
        ["hardware.accelerator=gpu", "hardware.devices=128", "mask.scope=step"],
    )
    with pytest.raises(InputError, match="hardware.devices must be at most"):
        choose_accelerator(recipe)
    assert (
        choose_accelerator(load_recipe(str(DEMO), ["hardware.accelerator=cpu"]))
        == "cpu"
    )


def test_several_devices_need_a_launcher(scratch):
    """Lightning would run this process's command again."""
    with pytest.raises(
        InputError, match=r"devices must be 1 without .*, got 2\. Use r2mae"
    ):
        prepare("run", "hardware.devices=2", "hardware.accelerator=cpu")


def test_a_schedule_changes_the_law_in_mid_training(scratch):
    moving = "mask={ratio: {fixed: {ratio: 0.75}}, schedule: {stepwise: {at: [0.5], to: [{fixed: {ratio: 0.25}}]}}}"
    training, _ = prepare("run", moving, "schedule.steps=6")
    module = training.module
    batch = module.dataset.__getitems__(list(range(16)))
    hidden = [
        module.objective.prepare(batch, step)["mask"].is_masked.float().mean().item()
        for step in range(6)
    ]
    assert hidden == [0.75] * 3 + [0.25] * 3


def test_a_finished_run_goes_on_under_another_law(scratch):
    first = train("first", "schedule.steps=4")
    new = ("mask.ratio={fixed: {ratio: 0.5}}", "schedule.steps=4")
    with pytest.raises(InputError, match="mask.ratio.* model.init_from=runs/first"):
        prepare("first", *new)
    training, folder = prepare("second", *new, f"model.init_from={first.path}")
    final = weights(first, 4)
    begun = training.module.state_dict()
    assert {
        name for name in final if name.startswith("model.decoder_blocks.")
    }  # the decoder comes along
    assert all(torch.equal(begun[name], final[name]) for name in begun)
    assert begun.keys() == {
        name for name in final if name.startswith("model.") and "/" not in name
    }
    training.run()
    assert metric(folder, "train/mask_ratio") == dict.fromkeys(range(1, 5), 0.5)


def test_a_run_goes_on_at_another_image_size(scratch):
    first = train("first", "schedule.steps=4")
    training, _ = prepare(
        "larger",
        "schedule.steps=4",
        f"model.init_from={first.path}",
        "data.image_size=12",
    )
    old, new = weights(first, 4), training.module.state_dict()
    for name in ("model.encoder.pos_embed", "model.decoder_positions"):
        assert torch.equal(new[name], resample_abs_pos_embed(old[name], [6, 6], [4, 4]))
    training.run()


def test_images_that_are_not_square_or_smaller_than_asked(scratch):
    (scratch / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(40):  # 64 wide, 40 high: less than 48
        Image.fromarray(rng.integers(0, 256, (40, 64), dtype=np.uint8)).save(
            scratch / "images" / f"{number}.png"
        )
    data = f"data={{card: image_folder, root: {scratch / 'images'}, image_size: 48, channels: 1, held_out: 0.25}}"
    folder = train(
        "run",
        data,
        "model.patch_size=16",
        "schedule.steps=4",
        "watch.samples=8",
        "watch.knn=false",
    )
    assert folder.pointer("last").name == "step_4"


RESNET = ("model={encoder: resnet18, patch_size: 8, arguments: {channels: [8, 8, 8, 8], layers: [1, 1, 1, 1]}}",
          "data.image_size=32")  # fmt: skip


def test_batch_norm_is_synchronised_over_gpus_and_keeps_its_names(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    recipe = load_recipe(str(DEMO), [*RESNET, "hardware.devices=2"])
    model = build_model(recipe)
    assert has_batch_norm(model)
    names, same = (
        list(model.state_dict()),
        synchronise_batch_norm(model, load_recipe(str(DEMO), [*RESNET])),
    )
    assert same is model
    on_cpu = load_recipe(
        str(DEMO), [*RESNET, "hardware={devices: 2, accelerator: cpu}"]
    )
    assert synchronise_batch_norm(model, on_cpu) is model
    synchronised = synchronise_batch_norm(model, recipe)
    norms = [
        m
        for m in synchronised.modules()
        if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)
    ]
    assert norms
    assert all(isinstance(norm, torch.nn.SyncBatchNorm) for norm in norms)
    assert list(synchronised.state_dict()) == names
    assert not has_batch_norm(build_model(load_recipe(str(DEMO))))


@pytest.mark.parametrize(
    ("fingerprint", "size", "is_same"),
    [("a", 3, True), ("b", 3, False), ("a", 2, False)],
)
def test_a_run_continues_on_the_same_samples_alone(
    monkeypatch, fingerprint, size, is_same
):
    """As many, too: another choice of the same data, by a filter say, has its fingerprint."""
    manifest = {"data": {"fingerprint": "a", "samples": 3}}
    monkeypatch.setattr(training, "read_manifest", lambda checkpoint: manifest)
    data = Sized(fingerprint, size)
    refused = pytest.raises(InputError, match="data must be what .* 3 samples")
    with nullcontext() if is_same else refused:
        training._check_same_data("runs/a", data)


class Sized:
    def __init__(self, fingerprint, size):
        self.fingerprint, self.size = fingerprint, size

    def __len__(self):
        return self.size
