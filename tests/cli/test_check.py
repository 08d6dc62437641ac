"""`r2mae check` on recipes whose data is not on this machine; tests/cli/test_subcommands.py has the others."""

import json

import pytest
import torch

from r2mae.cli.check import _bytes, _flop
from r2mae.cli.main import main


def test_classes_of_absent_data_are_unknown(scratch, capsys):
    setting = ["--set", "repeat.labels_per_class=[5,all]"]
    assert main(["check", "cifar10_finetune", *setting]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("classes      unknown") for line in lines)
    assert "5 labels per class (planned as for all labels)" in lines
    assert "all labels per class" in lines
    assert main(["check", "cifar10_finetune", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] is None


@pytest.mark.parametrize(
    ("settings", "is_noted"),
    [
        (["hardware.devices=2"], True),
        (["hardware.accelerator=gpu"], True),
        (["hardware.devices=2", "hardware.workers=1"], False),
        (["hardware.devices=2", "hardware.accelerator=cpu"], False),
        ([], False),
    ],
    ids=str,
)
def test_devices_that_wait_for_samples_are_noted(
    capsys, monkeypatch, settings, is_noted
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    changes = [part for setting in settings for part in ("--set", setting)]
    assert main(["check", "digits_demo", *changes]) == 0
    lines = capsys.readouterr().out.splitlines()
    notes = [line for line in lines if line.startswith("note ")]
    assert len(notes) == is_noted
    assert all("hardware.workers" in note for note in notes)


@pytest.mark.parametrize(
    ("pflop", "shown"),
    [(2.539e-5, "25.39 GFLOP"), (0.171, "171 TFLOP"), (5.6e6, "5.6e+06 PFLOP")],
)
def test_costs_have_the_unit_that_fits(pflop, shown):
    assert _flop(pflop) == shown


@pytest.mark.parametrize(
    ("gib", "shown"), [(0.00037, "388 KiB"), (0.0065, "6.656 MiB"), (22.0, "22 GiB")]
)
def test_memory_has_the_unit_that_fits(gib, shown):
    assert _bytes(gib) == shown
