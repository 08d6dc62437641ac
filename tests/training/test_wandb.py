"""A real wandb run, offline: the file that it writes, read back."""

import pytest

from r2mae.training.run_folder import RunFolder
from tests.conftest import DEMO, ROOT, overrides, r2mae
from tests.training.runs import metric

pytest.importorskip("wandb")


def records(log):
    """The payloads of a LevelDB log (blocks of 32 KiB, 7-byte headers) behind wandb's own 7 bytes."""
    at, parts = 7, b""
    while at + 7 <= len(log):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(log[at + 4 : at + 6], "little"), log[at + 6]
        parts += log[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def read_back(folder):
    """{(step, metric): value} and the config keys in a run's own binary log."""
    from wandb.proto import wandb_internal_pb2

    (file,) = (folder.path / "wandb").glob("offline-run-*/run-*.wandb")
    history, config = {}, set()
    for raw in records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(raw)
        items = {
            (item.key or "/".join(item.nested_key)): item.value_json
            for item in record.history.item
        }
        for name, value in items.items():
            history[
                int(float(items.get("trainer/global_step", items.get("_step", "0")))),
                name,
            ] = value
        config |= {item.key or item.nested_key[0] for item in record.config.update}
        config |= {item.key or item.nested_key[0] for item in record.run.config.update}
    return history, config


def test_wandb_has_what_metrics_csv_has(tmp_path):
    settings = overrides("log=[csv, wandb]", "schedule.steps=4", "watch.every_steps=2")
    # A process of its own: its end is what flushes the log.
    r2mae(
        "pretrain",
        DEMO,
        *settings,
        "--name",
        "run",
        cwd=tmp_path,
        check=0,
        WANDB_MODE="offline",
        WANDB_SILENT="true",
    )
    folder = RunFolder(tmp_path / "runs" / "run")
    history, config = read_back(folder)
    for name in ("train/loss", "validation/loss", "probe/knn"):
        for step, value in metric(folder, name).items():
            assert float(history[step, name]) == pytest.approx(value, rel=1e-6), (
                step,
                name,
            )
    assert any(key.startswith("mask") for key in config)


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
        WANDB_MODE="offline",
        WANDB_SILENT="true",
    )
    for seed in (0, 1):
        folder = RunFolder(tmp_path / "runs" / "t" / "labels_3" / f"seed_{seed}")
        history, _ = read_back(folder)
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
