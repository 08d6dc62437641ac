"""Two real gloo processes against one: order, ratios, masks and losses."""

import pytest

from r2mae.training.run_folder import RunFolder
from r2mae.training.trace import read_trace
from tests.conftest import DEMO, overrides, r2mae
from tests.training.runs import (
    broken_images,
    largest_difference,
    metric,
    prepare,
    weights,
)

# Uneven counts (every sample its own ratio), accumulation 2 in both, and clipping that bites.
SETTINGS = overrides(
    "mask.scope=sample",
    "mask.ratio={uniform: {low: 0.1, high: 0.9}}",
    "optimizer.clip_norm=0.3",
    "batch.global_samples=16",
    "batch.per_device_samples=4",
    "watch.every_steps=20",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("two")
    for name, devices in (("one", 1), ("two", 2)):
        r2mae(
            "pretrain",
            DEMO,
            *SETTINGS,
            "--trace",
            "--set",
            f"hardware.devices={devices}",
            "--name",
            name,
            cwd=cwd,
            check=0,
        )
    return RunFolder(cwd / "runs" / "one"), RunFolder(cwd / "runs" / "two")


def test_losses_agree_over_20_steps(runs):
    one, two = (metric(run, "train/loss") for run in runs)
    assert list(one) == list(two) == list(range(1, 21))
    assert max(abs(one[step] - two[step]) for step in one) < 1e-5


def test_clipping_bit(runs):
    assert min(metric(runs[0], "train/grad_norm").values()) > 0.3


def test_weights_agree(runs):
    assert largest_difference(weights(runs[0], 20), weights(runs[1], 20)) < 2e-3


def test_validation_agrees(runs):
    for name in ("validation/loss", "validation/loss_at_0.5", "probe/effective_rank"):
        assert metric(runs[0], name)[20] == pytest.approx(
            metric(runs[1], name)[20], rel=1e-4
        )
    assert metric(runs[0], "probe/knn")[20] == pytest.approx(
        metric(runs[1], "probe/knn")[20], abs=0.051
    )


def test_order_ratios_and_masks_do_not_know_the_devices(runs):
    one, two = (
        [{key: row[key] for key in row if key != "loss"} for row in read_trace(run)]
        for run in runs
    )
    assert one == two
    assert [row["position"] for row in one] == list(range(320))
    assert len({row["ratio"] for row in one}) == 8


def test_more_ranks_than_samples_to_watch(tmp_path):
    settings = overrides(
        "batch.global_samples=18",
        "schedule.steps=4",
        "data.held_out=0.0014",
        "watch.samples=8",
    )
    r2mae(
        "pretrain",
        DEMO,
        *settings,
        "--set",
        "hardware.devices=3",
        "--name",
        "run",
        cwd=tmp_path,
        check=0,
    )
    assert metric(RunFolder(tmp_path / "runs" / "run"), "validation/loss")[4] > 0


def test_unreadable_samples_of_all_processes_are_counted(tmp_path, monkeypatch):
    settings = broken_images(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    one, _ = prepare("one", *settings)
    one.run()
    options = [*overrides(*settings), "--set", "hardware.devices=2"]
    r2mae("pretrain", DEMO, *options, "--name", "two", cwd=tmp_path, check=0)
    status = RunFolder(tmp_path / "runs" / "two").read_status()
    assert set(status["skipped_first"]) == one.module.skipped
    assert status["skipped_samples"] == len(one.module.skipped)


def test_batch_norm_over_two_processes(tmp_path):
    """Statistics differ by process, weights may not: the checkpoint is one model, which both go on from."""
    encoder = "{encoder: resnet18, patch_size: 8, arguments: {channels: [8, 8, 8, 8], layers: [1, 1, 1, 1]}}"
    settings = [
        f"model={encoder}",
        "data.image_size=32",
        "batch={global_samples: 16}",
        "watch={samples: 16}",
    ]
    arguments = [part for setting in settings for part in ("--set", setting)]
    arguments += [
        "--set",
        "schedule={steps: 4}",
        "--set",
        "hardware={devices: 2, accelerator: cpu}",
    ]
    r2mae("pretrain", DEMO, *arguments, "--name", "run", cwd=tmp_path, check=0)
    run = RunFolder(tmp_path / "runs" / "run")
    assert metric(run, "validation/loss")[4] > 0
    assert weights(run, 4)["model.encoder.bn1.num_batches_tracked"] == 4
