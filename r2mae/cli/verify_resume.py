"""`r2mae verify-resume`: kill and continue runs of a recipe, and compare them with uninterrupted ones."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import Any

from r2mae.cli.arguments import add_recipe
from r2mae.cli.training import print_status
from r2mae.errors import InputError
from r2mae.json_text import json_text
from r2mae.options import positive_list
from r2mae.recipe.load import load_recipe

_COMPARED_STEPS = (
    20  # whose losses on different numbers of devices may differ by _TOLERANCE
)
_TOLERANCE = 1e-5
_SECONDS = 600.0  # that one process may take


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`RECIPE`, `--kill-at` and `--devices`."""
    add_recipe(parser)
    parser.add_argument(
        "--kill-at",
        default="7,13",
        type=positive_list,
        metavar="N,N",
        help="steps at which to kill; default 7,13",
    )
    parser.add_argument(
        "--devices",
        default="1,2",
        type=positive_list,
        metavar="N,N",
        help="numbers of devices; default 1,2",
    )


def run(arguments: argparse.Namespace) -> None:
    """Exit code 0 if all runs agree; otherwise 1, and the run folders are kept."""
    kills, devices = sorted(set(arguments.kill_at)), arguments.devices
    recipe = load_recipe(arguments.recipe, arguments.set, task="pretrain")
    steps = max(_COMPARED_STEPS, kills[-1] + 7)
    base = [*arguments.set, *_short(steps)]
    for count in devices:
        load_recipe(arguments.recipe, [*base, f"hardware.devices={count}"])
    start = time.monotonic()
    jobs = _Jobs(arguments.recipe, base)
    straight, killed = {}, {}
    for count in devices:
        straight[count] = jobs.train(f"straight_{count}", [], [count])
        killed[count] = jobs.train(f"killed_{count}", kills, [count])
    elastic = (
        jobs.train("elastic", kills, devices)
        if len(devices) > 1
        else killed[devices[0]]
    )
    result = _compare(
        straight, killed, elastic, exact_losses=recipe.hardware.precision == "32-true"
    )
    if result["passed"]:
        jobs.remove()
    result |= {
        "steps": steps,
        "kill_at": kills,
        "devices": devices,
        "seconds": round(time.monotonic() - start, 1),
    }
    print(
        json_text(result) if arguments.json else f"verify-resume: {json_text(result)}"
    )
    if not result["passed"]:
        raise SystemExit(1)


def _short(steps: int) -> list[str]:
    """Overrides for a short run with a checkpoint every 3 steps."""
    units = [
        f"schedule.{unit}=null"
        for unit in ("epochs", "samples", "tokens", "warmup_epochs")
    ]
    watch = [
        f"watch.every_steps={steps}",
        "watch.linear_probe=false",
        "watch.pictures=false",
        "watch.samples=16",
    ]
    schedule = [
        f"schedule.steps={steps}",
        "schedule.warmup_steps=4",
        "checkpoint.every_steps=3",
        "log=[csv]",
    ]
    return [*units, *watch, *schedule]


class _Jobs:
    """Training processes, their run folders side by side."""

    def __init__(self, recipe: str, settings: list[str]) -> None:
        self.recipe = recipe
        self.settings = settings
        self.prefix = f"verify-{Path(recipe).stem}-{os.getpid()}"
        self.paths: list[Path] = []

    def train(self, name: str, kills: list[int], devices: list[int]) -> Path:
        """Train to the end, killed at each step in turn, on the next number of devices each time; the run folder."""
        path = Path("runs") / f"{self.prefix}-{name}"
        self.paths.append(path)
        counts = cycle(devices)
        for kill_at in kills:
            self._process(path, next(counts), kill_at)
        self._process(path, next(counts), None)
        return path

    def _command(self, path: Path, devices: int) -> list[str]:
        """What trains in a run folder on a number of devices."""
        settings = [
            part
            for value in (*self.settings, f"hardware.devices={devices}")
            for part in ("--set", value)
        ]
        train = [sys.executable, "-m", "r2mae", "pretrain", self.recipe]
        return [*train, "--trace", "--name", path.name, *settings]

    def _process(self, path: Path, devices: int, kill_at: int | None) -> None:
        until = "to the end" if kill_at is None else f"to be killed at step {kill_at}"
        print_status(f"{path.name} on {devices}: {until}")
        process = subprocess.Popen(
            self._command(path, devices),
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + _SECONDS
            while process.poll() is None and time.monotonic() < deadline:
                if kill_at is not None and _last_step(path / "trace.jsonl") >= kill_at:
                    break
                time.sleep(0.005)
            ended = process.poll()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            _, stderr = process.communicate()
        last_line = (stderr.strip().splitlines() or [""])[-1].removeprefix("r2mae: ")
        if ended not in ((0,) if kill_at is None else (None,)):
            raise InputError(
                f"{self.recipe} must train on {devices} devices, got exit code {ended}: {last_line}"
            )

    def remove(self) -> None:
        """Delete the run folders."""
        for path in self.paths:
            shutil.rmtree(path)


def _last_step(trace: Path) -> int:
    """Of a trace that is being written; 0 before there is one."""
    if not trace.is_file():
        return 0
    with trace.open("rb") as file:
        file.seek(max(0, trace.stat().st_size - 4096))
        lines = file.read().split(b"\n")[:-1]
    return (
        int(json.loads(lines[-1])["step"])
        if lines and lines[-1].startswith(b"{")
        else 0
    )


def _compare(
    straight: dict[int, Path],
    killed: dict[int, Path],
    elastic: Path,
    *,
    exact_losses: bool,
) -> dict[str, Any]:
    """Order, masks, losses and weights of killed runs compared with those of uninterrupted ones.

    straight, killed: run folders by the number of devices. elastic: a run whose number of devices changed.
    """
    import numpy as np

    from r2mae.training.run_folder import RunFolder
    from r2mae.training.trace import read_trace

    paths = {*straight.values(), *killed.values(), elastic}
    traces = {path: read_trace(RunFolder(path)) for path in paths}
    masks = {path: _without_losses(rows) for path, rows in traces.items()}
    losses = {path: _losses(rows) for path, rows in traces.items()}
    first = next(iter(straight.values()))
    same = all(rows == masks[first] for rows in masks.values())
    differences = [
        difference
        for other in losses.values()
        for difference in _differences(losses[first], other)
    ]
    difference = float(np.max(differences))  # of Python, max passes over NaN
    identical = {}
    for count, path in straight.items():
        same_losses = losses[path] == losses[killed[count]]
        identical[str(count)] = same_losses and _hashes(path) == _hashes(killed[count])
    close = difference <= _TOLERANCE or not exact_losses
    return {
        "passed": same and all(identical.values()) and close,
        "positions": len(masks[first]),
        "order_and_masks_identical": same,
        "weights_bit_identical": identical,
        "largest_loss_difference": difference,
    }


def _without_losses(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Order and masks alone."""
    plain = [dict(row) for row in rows]
    for row in plain:
        row.pop("loss", None)
    return plain


def _losses(rows: list[dict[str, Any]]) -> dict[int, float]:
    """Losses by step."""
    return {row["step"]: row["loss"] for row in rows}


def _differences(first: dict[int, float], other: dict[int, float]) -> list[float]:
    """Of the first steps that both have."""
    steps = [step for step in first if step <= _COMPARED_STEPS and step in other]
    return [abs(other[step] - first[step]) for step in steps]


def _hashes(path: Path) -> dict[str, str]:
    """sha256 of the tensors of a run's last checkpoint: weights and optimizer."""
    from r2mae.training.checkpoint import MANIFEST, read_manifest
    from r2mae.training.run_folder import RunFolder

    last = RunFolder(path).pointer("last")
    assert last is not None
    hashes = read_manifest(last)["sha256"]
    return {name: hashes[name] for name in hashes if name != MANIFEST}
