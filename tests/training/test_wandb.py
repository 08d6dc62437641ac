"""Real wandb runs, offline: what they write, and what a server has after a sync."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from r2mae.recipe.run import load_run
from r2mae.training.checkpoint import read_manifest
from r2mae.training.metric_log import read_metrics
from r2mae.training.run_folder import RunFolder
from r2mae.training.wandb_run import WandbRun, read_history, read_records
from tests.conftest import DEMO, ROOT, overrides, r2mae
from tests.training.runs import metric, prepare
from tests.training.wandb_server import wandb_server

pytest.importorskip("wandb")


OFFLINE = {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}


def logged(folder):
    """{(step, metric): value} of a run that was never continued."""
    (file,) = (folder.path / "wandb").glob("offline-run-*/run-*.wandb")
    return {
        (step, name): value
        for step, row in read_history(file)
        for name, value in row.items()
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of 4 steps in a process of its own, whose end is what flushes the log."""
    cwd = tmp_path_factory.mktemp("wandb")
    settings = overrides(
        "log=[csv, wandb_checkpoint]", "schedule.steps=4", "watch.pictures=true"
    )
    options = [*settings, "--name", "run"]
    r2mae("pretrain", DEMO, *options, cwd=cwd, check=0, **OFFLINE)
    return RunFolder(cwd / "runs" / "run")


def test_wandb_has_what_metrics_csv_has(trained):
    folder = trained
    history = logged(folder)
    for name in ("train/loss", "validation/loss", "probe/knn"):
        for step, value in metric(folder, name).items():
            assert float(history[step, name]) == pytest.approx(value, rel=1e-6), (
                step,
                name,
            )
    page = history[4, "validation/loss_by_mask_ratio/path"]
    (table,) = (folder.path / "wandb").glob(f"offline-run-*/files/{page}")
    loss = metric(folder, "validation/loss_at_0.5")[4]
    (shown,) = re.findall(r"<tr><td>0.5<td>([\d.]+)", table.read_text())
    assert float(shown) == pytest.approx(loss, rel=1e-5)  # the file has fewer digits


def test_the_id_is_the_given_one(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "of the sweep")
    assert WandbRun(RunFolder(tmp_path), "own").version == "own"


def test_pictures_and_the_best_checkpoint_are_logged(trained, tmp_path, monkeypatch):
    folder = trained
    history = logged(folder)
    for step in (2, 4):
        page = history[step, "validation/pictures/path"]
        (picture,) = (folder.path / "wandb").glob(f"offline-run-*/files/{page}")
        assert (
            picture.read_bytes() == (folder.pictures / f"step_{step}.png").read_bytes()
        )
    (file,) = (folder.path / "wandb").glob("offline-run-*/run-*.wandb")
    (artifact,) = (
        record.artifact
        for record in read_records(file)
        if record.WhichOneof("record_type") == "artifact"
    )
    best = read_manifest(folder.pointer("best"))
    facts = json.loads(artifact.metadata)
    assert (artifact.type, facts["step"]) == ("model", best["step"])
    assert facts["law"] == best["law"]
    copy = tmp_path / "downloaded"
    for entry in artifact.manifest.contents:
        place = copy / entry.path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(entry.local_path, place)
    monkeypatch.chdir(tmp_path)
    weights = load_run(copy).model.state_dict()
    expected = load_run(folder.path, "best").model.state_dict()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_a_killed_and_continued_run_syncs_as_one_history(tmp_path):
    settings = overrides(
        "log=[csv, wandb]",
        "schedule.steps=100",
        "watch.every_steps=25",
        "checkpoint.every_steps=10",
    )
    command = ["pretrain", DEMO, *settings, "--name", "run"]
    folder = RunFolder(tmp_path / "runs" / "run")
    kill_at_step(40, folder, command, tmp_path)
    r2mae(*command, cwd=tmp_path, check=0, **OFFLINE)
    offline = sorted((folder.path / "wandb").glob("offline-run-*"))
    assert len(offline) == 2
    with wandb_server() as server:
        sync(server, offline, tmp_path)
    (history,) = server.histories.values()
    steps = [history[line]["_step"] for line in range(len(history))]
    metrics = read_metrics(folder)
    assert steps == sorted(metrics)  # as many rows as steps, in order
    for row in history.values():
        for name, value in metrics[row["_step"]].items():
            assert float(row[name]) == pytest.approx(value, rel=1e-6)
    config = server.configs[-1]
    description = read_manifest(folder.pointer("last"))
    assert config["mask"]["value"] == description["recipe"]["mask"]
    assert config["data_fingerprint"]["value"] == description["data"]["fingerprint"]
    assert config["commit"]["value"] == description["commit"]
    assert config["versions"]["value"] == description["versions"]
    assert config["parameters"]["value"] > 1000
    assert config["machine"]["value"]["world_size"] == 1


def kill_at_step(step, folder, command, cwd):
    """Start training, and end it by SIGKILL once metrics.csv has a step."""
    script = str(Path(sys.executable).with_name("r2mae"))
    process = subprocess.Popen(
        [script, *map(str, command)],
        cwd=cwd,
        env=os.environ | OFFLINE,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while max(read_metrics(folder), default=0) < step:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert folder.read_status()["status"] == "running"


def sync(server, folders, cwd):
    """`wandb sync` of all folders of a run."""
    environment = {
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": "0" * 40,
        "WANDB_CONFIG_DIR": str(cwd),
        "WANDB_CACHE_DIR": str(cwd),
    }
    script = str(Path(sys.executable).with_name("wandb"))
    done = subprocess.run(
        [script, "sync", *map(str, folders)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "ERROR" not in done.stderr, done.stderr


def test_metrics_from_before_wandb_was_turned_on_are_logged_too(scratch):
    settings = ("schedule.steps=20", "watch.every_steps=10")
    training, folder = prepare("run", *settings)
    training.module.num_steps = 6
    training.run()
    folder.write_status(status="interrupted")
    folder._lock.release(force=True)
    command = ["pretrain", DEMO, "--name", "run", *overrides(*settings)]
    r2mae(*command, "--set", "log=[csv, wandb]", check=0, **OFFLINE)
    assert {step for step, _ in logged(folder)} == set(read_metrics(folder))
    assert max(read_metrics(folder)) == 20


def test_every_seed_of_a_fine_tuning_is_a_run_of_its_own(tmp_path):
    recipe = ROOT / "recipes" / "vision" / "digits_finetune.yaml"
    settings = [
        "model.init_from=null", "model.width=16", "model.heads=2", "schedule={steps: 4}", "log=[csv, wandb]",
        "repeat={seeds: 2, labels_per_class: [3]}", "batch.global_samples=8",
    ]  # fmt: skip
    options = [part for setting in settings for part in ("--set", setting)]
    r2mae(
        "finetune",
        recipe,
        *options,
        "--name",
        "t",
        cwd=tmp_path,
        check=0,
        **OFFLINE,
    )
    for seed in (0, 1):
        folder = RunFolder(tmp_path / "runs" / "t" / "labels_3" / f"seed_{seed}")
        history = logged(folder)
        for step, value in metric(folder, "train/loss").items():
            assert float(history[step, "train/loss"]) == pytest.approx(value, rel=1e-6)
        assert folder.read_status()["id"].startswith(f"t-labels_3-seed_{seed}-")


def test_without_login_nothing_is_written(tmp_path):
    done = r2mae(
        "pretrain", DEMO, *overrides("log=[wandb]"), cwd=tmp_path, check=2,
        WANDB_MODE="online", WANDB_API_KEY="", HOME=str(tmp_path), NETRC=str(tmp_path / "netrc"),
    )  # fmt: skip
    assert "wandb must be logged in, got no API key" in done.stderr
    assert not (tmp_path / "runs").exists()
