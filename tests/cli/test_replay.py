"""`r2mae replay`: where a step that was not finite began."""

import json
from pathlib import Path

import pytest

from r2mae.cli.main import main
from r2mae.cli.replay import _found
from tests.training.runs import spoil, train


@pytest.fixture
def spoiled(scratch):
    return spoil("run")


def test_the_verb_prints_it_and_writes_nothing(spoiled, capsys):
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")}
    assert main(["replay", str(spoiled.path)]) == 0
    said = capsys.readouterr().out
    assert "step 7, positions 96 to 111, from step_6" in said
    assert (
        "first module with a non-finite output: encoder.blocks.1.mlp.fc1 (Linear)"
        in said
    )
    assert main(["replay", str(spoiled.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 7
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")} == before


def test_a_run_without_such_steps(scratch, capsys):
    train("run", "schedule.steps=3")
    assert main(["replay", "runs/run"]) == 2
    assert (
        "runs/run must hold a step that was not finite, got none"
        in capsys.readouterr().err
    )
    assert main(["replay", "runs/none"]) == 2


def test_a_step_that_was_fine(spoiled, capsys):
    assert main(["replay", str(spoiled.path), "--step", "3"]) == 2
    assert (
        "--step must be one of runs/run/nonfinite.jsonl, got 3. Known: 7."
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("gradients", "lines"),
    [
        (
            ["a.weight", "b.weight"],
            [
                "every module's output was finite; gradients were not",
                "gradients not finite: 2 tensors, the first a.weight, b.weight",
            ],
        ),
        (
            [],
            [
                "every output and gradient was finite: rounding on other devices, or a "
                "fault of theirs"
            ],
        ),
    ],
)
def test_what_is_said_where_every_output_was_finite(gradients, lines):
    report = {"finding": None, "gradients": gradients, "weights": []}
    assert _found(report) == lines
