"""Kill a training over and over at random moments, continue it each time, and compare it with one that never stopped.

Run: python scripts/kills.py RECIPE [--kills 30] [--steps 200] [--every 10] [--set KEY=VALUE]   (the last line is JSON)
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a fork keeps no threads but its own

# Loaded once: every training below is a fork of this process, which saves it seconds.
import pytorch_lightning  # noqa: F401
import timm  # noqa: F401

from r2mae.cli.main import main as r2mae
from r2mae.recipe.training import build_training  # noqa: F401
from r2mae.training import checkpoint_callback, pretraining_validation, progress, trace  # noqa: F401
from r2mae.training.checkpoint import MANIFEST, read_manifest
from r2mae.training.run_folder import RunFolder
from r2mae.training.trace import read_trace


def start(command: list[str]) -> int:
    """A forked process that trains; its pid."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        os._exit(r2mae(command))
    return pid


def finish(pid: int) -> None:
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit(
            f"a training ended with {os.waitstatus_to_exitcode(status)}: {Path('said').read_text().strip()}"
        )


def last_step(folder: RunFolder) -> int:
    rows = read_trace(folder) if folder.trace.is_file() else []
    return int(rows[-1]["step"]) if rows else 0


def saved_step(folder: RunFolder) -> int:
    last = folder.pointer("last")
    return int(last.name.removeprefix("step_")) if last else 0


def kill_at(command: list[str], folder: RunFolder, step: int) -> int:
    """Train until a step was traced, then a moment longer, then SIGKILL; how many steps were lost."""
    pid = start(command)
    while last_step(folder) < step:
        if os.waitpid(pid, os.WNOHANG)[0]:
            sys.exit(
                f"the training ended before step {step}: {Path('said').read_text().strip()}"
            )
        time.sleep(0.002)
    time.sleep(random.uniform(0, 0.02))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return last_step(folder) - saved_step(folder)


def hashes(folder: RunFolder) -> dict[str, str]:
    last = folder.pointer("last")
    assert last is not None
    return {
        name: found
        for name, found in read_manifest(last)["sha256"].items()
        if name != MANIFEST
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument(
        "--every", type=int, default=10, help="steps between checkpoints"
    )
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    recipe = str(Path(arguments.recipe).resolve())
    settings = [
        *arguments.set,
        f"schedule.steps={arguments.steps}",
        f"checkpoint.every_steps={arguments.every}",
    ]
    options = [word for setting in settings for word in ("--set", setting)]
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        straight, killed = (
            RunFolder(f"runs/{name}") for name in ("straight", "killed")
        )
        command = ["pretrain", recipe, "--trace", *options, "--name"]
        began = time.monotonic()
        finish(start([*command, "straight"]))
        lost = []
        for number, step in enumerate(
            sorted(random.sample(range(1, arguments.steps), arguments.kills)), 1
        ):
            lost.append(kill_at([*command, "killed"], killed, step))
            print(
                f"kill {number} of {arguments.kills} at step {step}: {lost[-1]} steps to do again",
                flush=True,
            )
        finish(start([*command, "killed"]))
        result = {
            "kills": len(lost),
            "steps": arguments.steps,
            "checkpoint_every_steps": arguments.every,
            "most_steps_lost": max(lost),
            "weights_bit_identical": hashes(straight) == hashes(killed),
            "traces_identical": read_trace(straight) == read_trace(killed),
            "seconds": round(time.monotonic() - began, 1),
        }
    print(f"kills: {json.dumps(result)}")
    if not (result["weights_bit_identical"] and result["traces_identical"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
