import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from r2mae.cli.main import main
from r2mae.errors import InputError
from r2mae.recipe.replay import replay_step
from r2mae.training.checkpoint import MODEL, OPTIMIZER, read_manifest, save
from tests.training.runs import prepare, train

SPOILED = "model.encoder.blocks.1.mlp.fc1.weight"


@pytest.fixture
def spoiled(scratch, request):
    """A run with an infinity in one weight of its last checkpoint, continued until that was noticed."""
    mode = getattr(request, "param", "stop")
    first, folder = prepare("run", "schedule.steps=20", "batch.per_device_samples=8")
    first.module.num_steps = 6
    first.run()
    last = folder.pointer("last")
    assert last.name == "step_6"
    tensors, moments, manifest = (
        load_file(last / MODEL),
        load_file(last / OPTIMIZER),
        read_manifest(last),
    )
    tensors[SPOILED][3, 5] = float("inf")
    save(
        last,
        {MODEL: tensors, OPTIMIZER: moments},
        {key: manifest[key] for key in manifest if key not in ("format", "sha256")},
    )
    training, _ = prepare(
        "run",
        "schedule.steps=20",
        "batch.per_device_samples=8",
        f"training.on_nonfinite={mode}",
    )
    with pytest.raises(InputError, match="step 1?7 must have"):
        training.run()
    return folder


def test_the_first_module_is_named(spoiled):
    report = replay_step(str(spoiled.path))
    assert report["step"] == 7
    assert report["from"] == "step_6"
    assert report["finding"]["module"] == "encoder.blocks.1.mlp.fc1"
    assert report["finding"]["inputs_finite"]
    assert report["finding"]["weights_not_finite"] == [
        "encoder.blocks.1.mlp.fc1.weight"
    ]
    assert report["weights"] == ["encoder.blocks.1.mlp.fc1.weight"]
    assert report["loss"] == report["recorded"]["loss"]
    assert [sample["position"] for sample in report["samples"]] == list(
        range(96, 104)
    )  # of the first micro-batch
    assert report["samples"][0]["sample"].startswith("digit ")


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


@pytest.mark.parametrize("spoiled", ["skip"], indirect=True)
def test_a_skipped_step_is_met_again_by_training_up_to_it(spoiled):
    for step, start in (
        (9, "step_6"),
        (None, "step_16"),
    ):  # the best one; the one kept for the last such step
        report = replay_step(str(spoiled.path), step)
        assert (report["step"], report["from"]) == (step or 17, start)
        assert report["finding"]["module"] == "encoder.blocks.1.mlp.fc1"


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
