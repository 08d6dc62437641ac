"""SIGKILL at a random moment, continue by the same command: nothing may tell."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from r2mae.cli.main import main
from r2mae.training.run_folder import RunFolder
from tests.conftest import DEMO, overrides
from tests.training.runs import largest_difference, metric, weights

STEPS = 150
SETTINGS = overrides(
    f"schedule.steps={STEPS}",
    "checkpoint.every_steps=10",
    "watch.every_steps=25",
    "watch.samples=16",
)


def start(cwd, name, *more):
    command = [
        str(Path(sys.executable).with_name("r2mae")),
        "pretrain",
        str(DEMO),
        *SETTINGS,
        "--name",
        name,
        *more,
    ]
    return subprocess.Popen(
        command, cwd=cwd, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(folder, process, step):
    """Until metrics.csv reaches a step."""
    for _ in range(6000):
        if process.poll() is not None:
            return
        if (
            folder.metrics.is_file()
            and max(metric(folder, "train/loss"), default=0) >= step
        ):
            return
        time.sleep(0.01)
    pytest.fail(f"step {step} did not come")


def finish(cwd, name):
    """Train to the end, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        assert main(["pretrain", str(DEMO), *SETTINGS, "--name", name]) == 0


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("kill")
    finish(cwd, "straight")
    return RunFolder(cwd / "runs" / "straight")


def test_killed_runs_end_bit_identical(straight):
    cwd, folder = (
        straight.path.parent.parent,
        RunFolder(straight.path.with_name("killed")),
    )
    kills = sorted(random.Random().sample(range(5, STEPS - 10), 2))
    for kill_at in kills:
        process = start(cwd, "killed")
        wait_for(folder, process, kill_at)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finish(cwd, "killed")
    assert largest_difference(weights(straight, STEPS), weights(folder, STEPS)) == 0, (
        f"killed at {kills}"
    )
    assert metric(straight, "validation/loss") == metric(folder, "validation/loss")
    assert list(metric(folder, "train/loss")) == list(metric(straight, "train/loss"))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_leaves_a_checkpoint_that_continues(straight, number, code):
    cwd, folder = (
        straight.path.parent.parent,
        RunFolder(straight.path.with_name(f"stopped_{code}")),
    )
    process = start(cwd, folder.path.name)
    wait_for(folder, process, 20)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    assert f"stopped by signal {int(number)}, saved at step" in said
    assert "Traceback" not in said
    assert folder.read_status()["status"] == "interrupted"
    assert folder.pointer("last").name == f"step_{folder.read_status()['step']}"
    if number == signal.SIGINT:
        finish(cwd, folder.path.name)
        assert largest_difference(weights(straight, STEPS), weights(folder, STEPS)) == 0


def test_a_finished_run_says_so(straight, capsys):
    finish(straight.path.parent.parent, "straight")
    assert f"finished at step {STEPS}" in capsys.readouterr().err
