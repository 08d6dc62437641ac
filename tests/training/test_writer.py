"""Writing in the background: what was copied is what is written, whatever training does meanwhile."""

import threading

import pytest
import torch
from safetensors.torch import load_file

from r2mae.errors import InputError
from r2mae.training import writer
from r2mae.training.checkpoint import MODEL, OPTIMIZER, read_manifest
from r2mae.training.writer import CheckpointWriter


def state(value):
    moments = {
        "weight/exp_avg": torch.full((4, 3), -value),
        "weight/step": torch.tensor(value),
    }
    return {MODEL: {"weight": torch.full((4, 3), value)}, OPTIMIZER: moments}


def test_later_changes_do_not_reach_the_file(tmp_path, monkeypatch):
    may_write, real_save = threading.Event(), writer.save

    def slow_save(*arguments):
        may_write.wait()
        real_save(*arguments)

    monkeypatch.setattr(writer, "save", slow_save)
    job, told = CheckpointWriter(), []
    files = state(1.0)
    description = {"step": 1, "nested": {"loss": 0.5}}
    job.save(
        tmp_path / "step_1",
        files,
        description,
        lambda: told.append((tmp_path / "step_1").is_dir()),
    )
    files[MODEL]["weight"].fill_(7)
    files[OPTIMIZER]["weight/exp_avg"].fill_(7)
    description["nested"]["loss"] = 7
    assert not (tmp_path / "step_1").exists()
    may_write.set()
    job.wait()
    assert torch.equal(
        load_file(tmp_path / "step_1" / MODEL)["weight"], torch.ones(4, 3)
    )
    assert torch.equal(
        load_file(tmp_path / "step_1" / OPTIMIZER)["weight/exp_avg"], -torch.ones(4, 3)
    )
    assert read_manifest(tmp_path / "step_1")["nested"] == {"loss": 0.5}
    assert told == [True]


def test_a_second_save_waits_for_the_first_and_reuses_its_memory(tmp_path, monkeypatch):
    order, real_save = [], writer.save

    def noted(path, *rest):
        order.append(f"{path.name} begins")
        real_save(path, *rest)
        order.append(f"{path.name} ends")

    monkeypatch.setattr(writer, "save", noted)
    job = CheckpointWriter()
    for value in (1.0, 2.0, 3.0):
        job.save(tmp_path / f"step_{value:g}", state(value), {}, lambda: None)
        addresses = {name: held.data_ptr() for name, held in job._buffers.items()}
    job.wait()
    assert order == [
        f"step_{n} {what}" for n in (1, 2, 3) for what in ("begins", "ends")
    ]
    assert addresses == {name: held.data_ptr() for name, held in job._buffers.items()}
    for value in (1.0, 2.0, 3.0):
        assert load_file(tmp_path / f"step_{value:g}" / MODEL)["weight"][0, 0] == value


def test_a_full_disk_is_said_once_with_what_is_left(tmp_path, monkeypatch):
    job = CheckpointWriter()
    job.save(tmp_path / "step_1", state(1.0), {}, lambda: None)
    job.wait()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "save", full)
    job.save(
        tmp_path / "step_2",
        state(2.0),
        {},
        lambda: pytest.fail("told of a checkpoint that is not there"),
    )
    job.join()
    with pytest.raises(
        InputError,
        match="step_2 must be written, got No space left on device.*step_1 is complete",
    ):
        job.check()
    job.check()


def test_other_faults_are_not_hidden(tmp_path, monkeypatch):
    job = CheckpointWriter()
    monkeypatch.setattr(writer, "save", lambda *_: 1 / 0)
    job.save(tmp_path / "step_1", state(1.0), {}, lambda: None)
    with pytest.raises(ZeroDivisionError):
        job.wait()
