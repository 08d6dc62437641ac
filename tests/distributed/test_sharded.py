"""FSDP2 on two gloo ranks: as one process, killed and continued, and on one rank in between."""

import shutil

import pytest

from r2mae.cli.main import main
from r2mae.training.run_folder import RunFolder
from tests.conftest import DEMO, overrides, r2mae
from tests.distributed.jobs import kill_at
from tests.training.runs import largest_difference, metric, weights

# Uneven counts, accumulation 2, and clipping that bites.
SETTINGS = overrides(
    "hardware.strategy=fsdp",
    "mask.scope=sample",
    "mask.ratio={uniform: {low: 0.1, high: 0.9}}",
    "optimizer.clip_norm=0.3",
    "batch.global_samples=16",
    "batch.per_device_samples=4",
    "watch.every_steps=20",
    "checkpoint.every_steps=3",
)


def command(name, devices):
    settings = [*SETTINGS, "--set", f"hardware.devices={devices}"]
    return ["pretrain", DEMO, *settings, "--trace", "--name", name]


def train(cwd, name, devices):
    r2mae(*command(name, devices), cwd=cwd, check=0)
    return RunFolder(cwd / "runs" / name)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("sharded")
    return train(cwd, "one", 1), train(cwd, "two", 2)


def test_two_ranks_train_as_one(runs):
    one, two = (metric(run, "train/loss") for run in runs)
    assert list(one) == list(two) == list(range(1, 21))
    assert max(abs(one[step] - two[step]) for step in one) < 1e-5
    norms = [list(metric(run, "train/grad_norm").values()) for run in runs]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)
    assert min(norms[0]) > 0.3
    assert largest_difference(*(weights(run, 20) for run in runs)) < 2e-3


def test_measurements_agree(runs):
    for name in ("validation/loss", "validation/loss_at_0.5", "probe/effective_rank"):
        one, two = (metric(run, name)[20] for run in runs)
        assert one == pytest.approx(two, rel=1e-4)


@pytest.fixture(scope="module")
def killed(runs):
    """A run of two ranks that was killed, and a copy of it."""
    folder = runs[1].path.with_name("killed")
    kill_at(folder.parent.parent, command("killed", 2), RunFolder(folder), 8)
    copy = shutil.copytree(folder, folder.with_name("elastic"))
    return RunFolder(folder), RunFolder(copy)


def test_killed_and_continued_is_bit_identical(runs, killed):
    folder, _ = killed
    train(folder.path.parent.parent, "killed", 2)
    assert largest_difference(weights(runs[1], 20), weights(folder, 20)) == 0


def test_two_one_two(runs, killed):
    _, folder = killed
    cwd = folder.path.parent.parent
    kill_at(cwd, command("elastic", 1), folder, 13)
    train(cwd, "elastic", 2)
    straight, elastic = metric(runs[1], "train/loss"), metric(folder, "train/loss")
    assert list(elastic) == list(range(1, 21))
    assert max(abs(straight[step] - elastic[step]) for step in straight) < 1e-5


def test_what_cannot_be_sharded_is_refused(scratch, capsys):
    settings = [*SETTINGS, "--set", "training.ema=0.99", "--set", "hardware.devices=2"]
    assert main(["pretrain", str(DEMO), *settings]) == 2
    assert "training.ema must be null with hardware.strategy fsdp" in (
        capsys.readouterr().err
    )
    assert not (scratch / "runs").exists()
