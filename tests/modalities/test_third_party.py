"""A wing of another package, `toy_wing/`, from its entry point to a run that is killed and continued."""

import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from r2mae.cli.main import main
from r2mae.masking.pattern import sample_mask
from r2mae.modalities import find_wing
from r2mae.training.run_folder import RunFolder
from tests.conftest import ROOT
from tests.faults.test_kill import wait_for
from tests.training.runs import largest_difference, metric, weights

TOY = ROOT / "tests" / "modalities" / "toy_wing"
STEPS = 300
FINETUNE = """\
# Classifies rows, starting from the encoder of pretrain.yaml.   Run: r2mae finetune finetune.yaml
task: finetune
modality: table
data: {table: breast_cancer, held_out: 0.1}
model: {width: 32, init_from: runs/pretrain}
batch: {global_samples: 32}
optimizer: {lr: 1.0e-3}
schedule: {epochs: 10}
repeat: {seeds: 1, labels_per_class: [all]}
"""


def install(site):
    """Put metadata and package on a folder as an installer does."""
    project = tomllib.loads((TOY / "pyproject.toml").read_text())["project"]
    info = site / f"r2mae_table-{project['version']}.dist-info"
    info.mkdir(parents=True)
    header = f"Metadata-Version: 2.1\nName: {project['name']}\n"
    (info / "METADATA").write_text(f"{header}Version: {project['version']}\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {at}" for name, at in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (site / "r2mae_table").symlink_to(TOY / "r2mae_table")


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with two recipes, as working directory; the toy is installed in it."""
    folder = tmp_path_factory.mktemp("table")
    install(folder / "site")
    (folder / "pretrain.yaml").write_text((TOY / "pretrain.yaml").read_text())
    (folder / "finetune.yaml").write_text(FINETUNE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder / "site"))
        yield folder
        find_wing.cache_clear()


@pytest.fixture
def call(here, capsys):
    """Run a command; gives what it prints with --json."""

    def run(*arguments):
        capsys.readouterr()
        assert main([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def pretrain(name):
    """The command that trains a run of this name."""
    steps = ("--set", f"schedule.steps={STEPS}")
    return ["pretrain", "pretrain.yaml", "--name", name, *steps]


@pytest.fixture(scope="module")
def trained(here):
    """A run that was never stopped."""
    assert main(pretrain("pretrain")) == 0
    return RunFolder("runs/pretrain")


def test_its_recipe_is_checked_and_its_masks_are_shown(call):
    report = call("check", "pretrain.yaml")
    assert report["plan"]["tokens_per_sample"] == 30
    # Two linear maps of 60 x 64 and 64 x 32 and one of 32 x 30, whose input gradients all but the first need.
    forward = 60 * 64 + 64 * 32 + 32 * 30
    flops = 2 * (3 * forward - 60 * 64)
    assert report["levels"][0]["step_tflop"] == pytest.approx(flops * 64 / 1e12)
    masks = call("mask", "pretrain.yaml")["steps"]
    hidden = [len(sample["masked"]) for step in masks for sample in step["samples"]]
    assert all(0.3 * 30 - 0.5 <= number <= 0.8 * 30 + 0.5 for number in hidden)


def test_check_describes_data_without_a_card(here, capsys):
    assert main(["check", "pretrain.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "table, read without a data card" in printed
    assert "409 samples to train, 46 held out" in printed


def test_a_mistake_in_its_recipe_is_one_line(here, capsys):
    assert main(["check", "pretrain.yaml", "--set", "data.table=iris"]) == 2
    error = capsys.readouterr().err
    assert "data.table must be 'breast_cancer' or 'wine'" in error
    assert error.count("\n") == 1


def test_it_learns(trained):
    losses = metric(trained, "validation/loss")
    assert losses[STEPS] < 0.6  # 1 is the variance of a standardised column


def test_killed_it_ends_bit_identical(here, trained):
    """In a process of its own, which finds the toy as any installed package."""
    folder = RunFolder("runs/killed")
    command = [str(Path(sys.executable).with_name("r2mae")), *pretrain("killed")]
    found = [str(here / "site"), os.environ.get("PYTHONPATH")]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, found))},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(folder, process, 100)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert folder.read_status()["status"] == "running"
    assert main(pretrain("killed")) == 0
    assert largest_difference(weights(trained, STEPS), weights(folder, STEPS)) == 0
    assert metric(trained, "validation/loss") == metric(folder, "validation/loss")


def test_its_features_are_probed(call, trained):
    names = {"pretrained", "untrained", "standardised columns"}
    options = ("--task", "knn,linear_probe", "--baselines", "--hidden", "0,0.5")
    tasks = call("evaluate", "runs/pretrain", *options)["tasks"]
    for row in tasks["knn"]["rows"] + tasks["linear_probe"]["rows"]:
        assert set(row["scores"]) == names
        assert row["scores"]["pretrained"]["accuracy"] > 0.85
        assert row["scores"]["standardised columns"]["accuracy"] > 0.85


def test_its_own_task_is_evaluated(call, trained):
    errors = call("evaluate", "runs/pretrain", "--task", "columns")["errors"]
    assert len(errors) == 30
    assert np.median(errors) < 0.5


def test_its_encoder_is_fine_tuned_and_used(call, trained):
    call("finetune", "finetune.yaml")
    run = "runs/finetune/labels_all/seed_0"
    manifest = json.loads(Path(run, "run.json").read_text())
    assert manifest["status"] == "finished"
    call("predict", run, "test", "-o", "classes.csv")
    header, *rows = Path("classes.csv").read_text().splitlines()
    assert header == "name,class,predicted_class,p(malignant),p(benign)"
    right = sum(row.split(",")[1] == row.split(",")[2] for row in rows)
    assert right / len(rows) > 0.85


def test_its_features_are_written(call, trained):
    call("embed", "runs/pretrain", "test", "-o", "features.npy")
    assert np.load("features.npy").shape == (114, 32)
    first = Path("features.names.csv").read_text().splitlines()[1]
    assert first == "row 0,malignant"


def test_hidden_values_change_no_prediction(monkeypatch):
    monkeypatch.syspath_prepend(str(TOY))
    from r2mae_table.model import MaskedTable

    model = MaskedTable(num_columns=7, width=4)
    batch = {"values": torch.randn(5, 7), "indices": torch.arange(5)}
    ratios = torch.full((5,), 0.5, dtype=torch.float64)
    eligible = model.masking.eligible(batch)
    mask = sample_mask("random", eligible, ratios, 0, batch["indices"], model.grid)
    changed = batch["values"] + torch.randn(5, 7) * mask.is_masked
    before, after = model(batch, mask), model(batch | {"values": changed}, mask)
    torch.testing.assert_close(before.predictions, after.predictions, rtol=0, atol=0)
    assert before.loss.total != after.loss.total


def test_it_is_no_part_of_r2mae():
    """The engine neither imports nor names it, and it stays as small as an example has to be."""
    files = [
        path for path in TOY.rglob("*") if path.suffix in (".py", ".toml", ".yaml")
    ]
    assert len(files) <= 4
    named = [
        path
        for path in (ROOT / "r2mae").rglob("*.py")
        if "r2mae_table" in path.read_text()
    ]
    assert named == []
