import json

import pytest
import torch

from r2mae.errors import InputError
from r2mae.training import checkpoint
from r2mae.training.checkpoint import (
    MODEL,
    OPTIMIZER,
    load_tensors,
    read_manifest,
    save,
)
from r2mae.training.checkpoint_io import FolderCheckpointIO
from tests.training.runs import prepare, train

DESCRIPTION = {"step": 3, "recipe": {}, "versions": {"pytorch-lightning": "2.6.6"}}


def write(path, value=1.0):
    save(
        path,
        {
            MODEL: {"model.a": torch.full((4,), value)},
            OPTIMIZER: {"model.a/exp_avg": torch.zeros(4)},
        },
        DESCRIPTION,
    )


def test_what_is_saved_comes_back(tmp_path):
    write(tmp_path / "step_3")
    loaded = FolderCheckpointIO().load_checkpoint(tmp_path / "step_3")
    assert torch.equal(loaded["state_dict"]["model.a"], torch.ones(4))
    assert list(loaded["optimizer_tensors"]) == ["model.a/exp_avg"]
    assert loaded["description"]["step"] == 3
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "manifest.json", "model.safetensors", "optimizer.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.safetensors", "manifest.json"]
)
@pytest.mark.parametrize("damage", ["flip", "cut", "delete", "empty"])
def test_damage_is_refused_by_name(tmp_path, name, damage):
    write(tmp_path / "step_2")
    write(tmp_path / "step_3")
    file = tmp_path / "step_3" / name
    raw = bytearray(file.read_bytes())
    if damage == "delete":
        file.unlink()
    else:
        raw[len(raw) // 2] ^= 0x55
        file.write_bytes(
            {"flip": bytes(raw), "cut": bytes(raw[: len(raw) // 2]), "empty": b""}[
                damage
            ]
        )
    with pytest.raises(InputError) as caught:
        FolderCheckpointIO().load_checkpoint(tmp_path / "step_3")
    message = str(caught.value)
    assert "step_3" in message
    assert name in message
    if damage != "delete" or name != "manifest.json":
        assert "continue from step_2" in message


def test_another_format_is_refused(tmp_path):
    write(tmp_path / "step_3")
    file = tmp_path / "step_3" / "manifest.json"
    newer = json.loads(file.read_text()) | {"format": 99}
    newer["sha256"]["manifest.json"] = checkpoint._own_hash(newer)
    file.write_text(json.dumps(newer))
    with pytest.raises(InputError, match="format must be 1, got 99"):
        read_manifest(tmp_path / "step_3")


@pytest.mark.parametrize("failing", ["save_file", "_sha256", "flush"])
def test_a_failed_write_leaves_the_previous_and_nothing_else(
    tmp_path, monkeypatch, failing
):
    write(tmp_path / "step_3", 1.0)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, failing, full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "step_3", 2.0)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step_3"]
    assert (
        load_tensors(
            tmp_path / "step_3", "model.safetensors", read_manifest(tmp_path / "step_3")
        )["model.a"][0]
        == 1
    )


def test_a_checkpoint_describes_itself(scratch):
    folder = train("run", "schedule.steps=4")
    manifest = read_manifest(folder.pointer("last"))
    assert manifest["law"]["ratio"] == {"uniform": {"low": 0.3, "high": 0.8}}
    assert manifest["step"] == 4
    assert manifest["samples"] == 64
    assert manifest["data"]["samples"] == 1293
    assert manifest["preprocessing"]["pixel_mean"] == pytest.approx([0.287])
    assert manifest["recipe"]["model"]["width"] == 16
    assert set(manifest["sha256"]) == {
        "model.safetensors",
        "optimizer.safetensors",
        "manifest.json",
    }


def test_moments_are_named_after_parameters(scratch):
    folder = train("run", "schedule.steps=3")
    path = folder.pointer("last")
    names = load_tensors(path, "optimizer.safetensors", read_manifest(path))
    assert "model.decoder_predict.weight/exp_avg_sq" in names
    trained = [
        name
        for name, p in prepare("other")[0].module.named_parameters()
        if p.requires_grad
    ]
    assert {key.rsplit("/", 1)[0] for key in names} == set(trained)
