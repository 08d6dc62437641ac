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
from r2mae.training.run_folder import RunFolder
from tests.conftest import ROOT, r2mae
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
    """Put metadata on a folder as an installer does; gives the PYTHONPATH with which the toy is installed."""
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
    return os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))


class Shell:
    """`r2mae` in a folder where the toy is installed, as a user calls it."""

    def __init__(self, cwd):
        self.cwd = cwd
        self.environment = {"PYTHONPATH": install(cwd / "site")}
        (cwd / "pretrain.yaml").write_text((TOY / "pretrain.yaml").read_text())
        (cwd / "finetune.yaml").write_text(FINETUNE)

    def json(self, *arguments):
        done = r2mae(*arguments, "--json", cwd=self.cwd, check=0, **self.environment)
        return json.loads(done.stdout)

    def pretrain(self, name, *settings):
        return ["pretrain", "pretrain.yaml", "--name", name, *settings]


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    return Shell(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def trained(shell):
    """A run that was never stopped."""
    shell.json(*shell.pretrain("pretrain", "--set", f"schedule.steps={STEPS}"))
    return RunFolder(shell.cwd / "runs" / "pretrain")


def test_its_recipe_is_checked_and_its_masks_are_shown(shell):
    report = shell.json("check", "pretrain.yaml")
    assert report["plan"]["tokens_per_sample"] == 30
    # Two linear maps of 60 x 64 and 64 x 32 and one of 32 x 30, whose input gradients all but the first need.
    forward = 60 * 64 + 64 * 32 + 32 * 30
    flops = 2 * (3 * forward - 60 * 64)
    assert report["levels"][0]["step_tflop"] == pytest.approx(flops * 64 / 1e12)
    masks = shell.json("mask", "pretrain.yaml")["steps"]
    hidden = [len(sample["masked"]) for step in masks for sample in step["samples"]]
    assert all(0.3 * 30 - 0.5 <= number <= 0.8 * 30 + 0.5 for number in hidden)


def test_check_describes_data_without_a_card(monkeypatch, capsys, tmp_path):
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert main(["check", str(TOY / "pretrain.yaml")]) == 0
    printed = capsys.readouterr().out
    assert "table, read without a data card" in printed
    assert "409 samples to train, 46 held out" in printed


def test_a_mistake_in_its_recipe_is_one_line(shell):
    arguments = ("check", "pretrain.yaml", "--set", "data.table=iris")
    done = r2mae(*arguments, cwd=shell.cwd, check=2, **shell.environment)
    assert "data.table must be 'breast_cancer' or 'wine'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_it_learns(trained):
    losses = metric(trained, "validation/loss")
    assert losses[STEPS] < 0.6  # 1 is the variance of a standardised column


def test_killed_it_ends_bit_identical(shell, trained):
    folder = RunFolder(shell.cwd / "runs" / "killed")
    arguments = shell.pretrain("killed", "--set", f"schedule.steps={STEPS}")
    command = [str(Path(sys.executable).with_name("r2mae")), *arguments]
    process = subprocess.Popen(
        command,
        cwd=shell.cwd,
        env=os.environ | shell.environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(folder, process, 100)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert folder.read_status()["status"] == "running"
    shell.json(*arguments)
    assert largest_difference(weights(trained, STEPS), weights(folder, STEPS)) == 0
    assert metric(trained, "validation/loss") == metric(folder, "validation/loss")


def test_its_features_are_probed(shell, trained):
    names = {"pretrained", "untrained", "standardised columns"}
    options = ("--task", "knn,linear_probe", "--baselines", "--hidden", "0,0.5")
    tasks = shell.json("evaluate", "runs/pretrain", *options)["tasks"]
    for row in tasks["knn"]["rows"] + tasks["linear_probe"]["rows"]:
        assert set(row["scores"]) == names
        assert row["scores"]["pretrained"]["accuracy"] > 0.85
        assert row["scores"]["standardised columns"]["accuracy"] > 0.85


def test_its_own_task_is_evaluated(shell, trained):
    errors = shell.json("evaluate", "runs/pretrain", "--task", "columns")["errors"]
    assert len(errors) == 30
    assert np.median(errors) < 0.5


def test_its_encoder_is_fine_tuned_and_used(shell, trained):
    shell.json("finetune", "finetune.yaml")
    run = "runs/finetune/labels_all/seed_0"
    manifest = json.loads((shell.cwd / run / "run.json").read_text())
    assert manifest["status"] == "finished"
    shell.json("predict", run, "test", "-o", "classes.csv")
    header, *rows = (shell.cwd / "classes.csv").read_text().splitlines()
    assert header == "name,class,predicted_class,p(malignant),p(benign)"
    right = sum(row.split(",")[1] == row.split(",")[2] for row in rows)
    assert right / len(rows) > 0.85


def test_its_features_are_written(shell, trained):
    shell.json("embed", "runs/pretrain", "test", "-o", "features.npy")
    assert np.load(shell.cwd / "features.npy").shape == (114, 32)
    first = (shell.cwd / "features.names.csv").read_text().splitlines()[1]
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
