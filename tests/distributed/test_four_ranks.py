"""Four gloo ranks killed and continued; and one run on one, two, four and one processes."""

import random

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


def test_four_ranks_killed_end_bit_identical(straight):
    cwd, at = straight.path.parent.parent, random.Random().randrange(4, 20)
    killed = RunFolder(cwd / "runs" / "killed")
    kill_at(cwd, command("killed", 4), killed, at)
    r2mae(*command("killed", 4), cwd=cwd, check=0)
    assert largest_difference(weights(straight, 24), weights(killed, 24)) == 0, (
        f"killed at {at}"
    )
    assert read_trace(straight) == read_trace(killed)


def test_one_two_four_one(straight):
    cwd, folder = (
        straight.path.parent.parent,
        RunFolder(straight.path.with_name("elastic")),
    )
    for devices, step in ((1, 5), (2, 11), (4, 17)):
        kill_at(cwd, command("elastic", devices), folder, step)
    r2mae(*command("elastic", 1), cwd=cwd, check=0)
    given, expected = read_trace(folder), read_trace(straight)
    assert [row["position"] for row in given] == list(range(24 * 16))
    for row, wanted in zip(given, expected, strict=True):
        assert {key: row[key] for key in row if key != "loss"} == {
            key: wanted[key] for key in wanted if key != "loss"
        }
        assert row["loss"] == pytest.approx(wanted["loss"], abs=1e-5)
