"""Two gloo ranks that recompute activations and keep a moving average."""

import os
import signal

from safetensors.torch import load_file

from r2mae.training.run_folder import RunFolder
from tests.distributed.jobs import command, end, start, wait_for
from tests.training.runs import largest_difference, weights

SETTINGS = (
    "training.ema=0.9",
    "checkpoint.every_steps=5",
    "schedule.steps=20",
    "model.arguments={drop_path_rate: 0.2}",
)


def state(folder, step):
    """Every tensor of a checkpoint; the average under names of its own."""
    saved = load_file(folder.checkpoints / f"step_{step}" / "ema.safetensors")
    return weights(folder, step) | {f"ema {name}": saved[name] for name in saved}


def test_killed_and_continued_equals_straight(tmp_path):
    straight, stopped = (RunFolder(tmp_path / "runs" / n) for n in ("one", "two"))
    recomputing = command("one", *SETTINGS, "hardware.recompute=blocks")
    code, stderr, _ = end(start(tmp_path, recomputing), 300)
    assert code == 0, stderr
    job = start(tmp_path, command("two", *SETTINGS))
    wait_for(stopped, job, 8)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    assert stopped.read_status()["status"] == "running"
    # What recomputes may change too: it changes no number.
    again = command("two", *SETTINGS, "hardware.recompute=blocks")
    code, stderr, _ = end(start(tmp_path, again), 300)
    assert code == 0, stderr
    assert "continuing at step" in stderr
    assert largest_difference(state(straight, 20), state(stopped, 20)) == 0
