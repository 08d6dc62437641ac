"""Four gloo ranks killed and continued; and one run on four, one and two processes."""

import random
import shutil

import pytest

from r2mae.training.run_folder import RunFolder
from r2mae.training.trace import read_trace
from tests.conftest import DEMO, overrides, r2mae
from tests.distributed.jobs import kill_at
from tests.training.runs import largest_difference, weights

# A model of the demo's size: without DDP's groups in place from the first step, it is not bit-identical.
SETTINGS = overrides(
    "model.width=64",
    "model.heads=4",
    "model.decoder_width=64",
    "model.decoder_heads=4",
    "batch.per_device_samples=4",
    "schedule.steps=24",
    "checkpoint.every_steps=3",
    "watch.every_steps=24",
)


def command(name, devices, *more):
    return [
        "pretrain",
        DEMO,
        *SETTINGS,
        "--trace",
        "--set",
        f"hardware.devices={devices}",
        "--name",
        name,
        *more,
    ]


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """An uninterrupted run of four ranks."""
    cwd = tmp_path_factory.mktemp("four")
    r2mae(*command("straight", 4), cwd=cwd, check=0)
    return RunFolder(cwd / "runs" / "straight")


@pytest.fixture(scope="module")
def killed(straight):
    """(a run of four ranks, killed at a random step; a copy of it; that step)."""
    folder, at = straight.path.with_name("killed"), random.Random().randrange(4, 14)
    cwd = folder.parent.parent
    kill_at(cwd, command("killed", 4), RunFolder(folder), at)
    copy = shutil.copytree(folder, folder.with_name("elastic"))
    return RunFolder(folder), RunFolder(copy), at


def test_four_ranks_killed_end_bit_identical(straight, killed):
    folder, _, at = killed
    r2mae(*command("killed", 4), cwd=folder.path.parent.parent, check=0)
    assert largest_difference(weights(straight, 24), weights(folder, 24)) == 0, (
        f"killed at {at}"
    )
    assert read_trace(straight) == read_trace(folder)


def test_four_one_two(straight, killed):
    _, folder, at = killed
    cwd = folder.path.parent.parent
    kill_at(cwd, command("elastic", 1), folder, at + 5)
    r2mae(*command("elastic", 2), cwd=cwd, check=0)
    given, expected = read_trace(folder), read_trace(straight)
    assert [row["position"] for row in given] == list(range(24 * 16))
    for row, wanted in zip(given, expected, strict=True):
        assert {key: row[key] for key in row if key != "loss"} == {
            key: wanted[key] for key in wanted if key != "loss"
        }
        assert row["loss"] == pytest.approx(wanted["loss"], abs=1e-5)
