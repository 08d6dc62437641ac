"""`r2mae check` on recipes whose data is not on this machine; tests/cli/test_subcommands.py has the others."""

import json

import pytest

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
