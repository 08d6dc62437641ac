"""Stop jobs by SIGUSR1 under a model of srun, with slow saves; count those not queued again.

Real runs and real gloo groups under scripts/slurm.sh. Only srun, scontrol and the time
that a save takes are stand-ins. Every rank is a fork of this process.

Run: python scripts/srun_jobs.py [--ranks 1,2,4,8] [--jobs 50] [--longest-save 20]
The last line is JSON.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a fork keeps no threads but its own

# Loaded once: every rank below is a fork of this process, which saves it seconds.
import pytorch_lightning  # noqa: F401
import timm  # noqa: F401

from r2mae.cli.main import main as r2mae
from r2mae.recipe.training import build_training  # noqa: F401
from r2mae.training import (  # noqa: F401
    checkpoint_callback,
    pretraining_validation,
    progress,
    trace,
    writer,
)
from r2mae.training.run_folder import RunFolder

ROOT = Path(__file__).resolve().parent.parent
KILL_WAIT = 30.0  # SLURM's default
# Small enough for a step in milliseconds, long enough not to end before the signal.
TINY = (
    "model.width=16", "model.depth=2", "model.heads=2", "model.decoder_depth=1",
    "model.decoder_width=16", "model.decoder_heads=2", "batch.global_samples=16",
    "schedule.steps=1000000", "checkpoint.every_steps=1000000", "watch.samples=40",
    "watch.every_steps=1000000", "watch.linear_probe=false", "watch.pictures=false",
    "hardware.accelerator=cpu",
)  # fmt: skip
# srun asks the process that forks ranks, through two named pipes, to run a step.
SRUN = """#!/usr/bin/env bash
while [[ $1 == -* ]]; do shift; done
shift 3  # python -m r2mae
printf '%s\\n' "$@" > request
exit "$(cat reply)"
"""
SCONTROL = '#!/usr/bin/env bash\necho "$@" >> queued\n'


@dataclass(frozen=True)
class Job:
    """One job: its folder, number of ranks, port, and seconds of a save."""

    folder: Path
    ranks: int
    port: int
    save_seconds: float


def run_job(job: Job) -> dict[str, float | int | bool]:
    """Start, signal at a random moment, and see what became of it."""
    job.folder.mkdir(parents=True)
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (job.folder / name).write_text(text)
        (job.folder / name).chmod(0o755)
    for name in ("request", "reply"):
        os.mkfifo(job.folder / name)
    environment = os.environ | {
        "SLURM_JOB_ID": "4711",
        "SLURM_NNODES": "1",
        "SLURM_NTASKS": str(job.ranks),
        "PATH": f"{job.folder}:{os.environ['PATH']}",
    }
    settings = [part for setting in TINY for part in ("--set", setting)]
    line = [str(ROOT / "scripts/slurm.sh"), "pretrain", "digits_demo", *settings]
    script = subprocess.Popen(
        [*line, "--name", "run"],
        cwd=job.folder,
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    arguments = (job.folder / "request").read_text().splitlines()
    code = run_step(job, arguments)
    (job.folder / "reply").write_text(str(code))
    script.wait()
    return {"code": code, "queued": (job.folder / "queued").is_file()}


def run_step(job: Job, arguments: list[str]) -> int:
    """srun --kill-on-bad-exit=1: the step's exit code."""
    tasks = {fork_rank(job, rank, arguments): rank for rank in range(job.ranks)}
    running, codes, deadline = set(tasks), [], float("inf")
    folder = RunFolder(job.folder / "runs" / "run")
    signal_at = float("inf")
    while running:
        if signal_at == float("inf") and folder.metrics.is_file():
            signal_at = time.monotonic() + random.uniform(0, 2)
        if time.monotonic() > signal_at:
            kill(running, signal.SIGUSR1)
            signal_at = time.monotonic() + 1e9
        for pid in list(running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                running.remove(pid)
                codes.append(os.waitstatus_to_exitcode(status))
        if any(codes) and deadline == float("inf"):
            kill(running, signal.SIGTERM)
            deadline = time.monotonic() + KILL_WAIT
        if time.monotonic() > deadline:
            kill(running, signal.SIGKILL)
        time.sleep(0.01)
    signals = [128 - code for code in codes if code < 0]
    return max(signals or codes)


def kill(pids: set[int], number: int) -> None:
    for pid in pids:
        os.kill(pid, number)


def fork_rank(job: Job, rank: int, arguments: list[str]) -> int:
    """A forked process that trains as one task of srun; its pid."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    os.chdir(job.folder)
    os.dup2(os.open("stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    os.environ |= {
        "SLURM_JOB_ID": "4711",
        "SLURM_STEP_ID": "0",
        "SLURM_NTASKS": str(job.ranks),
        "SLURM_NNODES": "1",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "127.0.0.1",
        "MASTER_PORT": str(job.port),
    }
    save = writer.save

    def slow_save(*parts: object) -> None:
        time.sleep(job.save_seconds)
        save(*parts)  # type: ignore[arg-type]

    writer.save = slow_save
    code = r2mae(arguments)
    # As interpreters do that end at different times.
    time.sleep(random.uniform(0, 0.5))
    os._exit(code)


def main() -> None:
    """Run all jobs, a few at a time, since they mostly sleep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", default="1,2,4,8")
    parser.add_argument("--jobs", type=int, default=50, help="for each number of ranks")
    parser.add_argument("--longest-save", type=float, default=20.0, metavar="SECONDS")
    parser.add_argument("--at-once", type=int, default=6)
    options = parser.parse_args()
    lost: dict[str, int] = {}
    codes: dict[int, int] = {}
    with tempfile.TemporaryDirectory(prefix="r2mae-") as scratch:
        for ranks in map(int, options.ranks.split(",")):
            jobs = [
                Job(
                    Path(scratch) / f"{ranks}_{number}",
                    ranks,
                    20000 + 100 * ranks + number,
                    random.uniform(0, options.longest_save),
                )
                for number in range(options.jobs)
            ]
            with ThreadPoolExecutor(options.at_once) as pool:
                results = list(pool.map(run_job, jobs))
            lost[str(ranks)] = sum(not result["queued"] for result in results)
            for result in results:
                code = int(result["code"])
                codes[code] = codes.get(code, 0) + 1
            print(
                f"{ranks} ranks: {lost[str(ranks)]} of {options.jobs} jobs lost",
                file=sys.stderr,
            )
            for job, result in zip(jobs, results, strict=True):
                if not result["queued"]:
                    print((job.folder / "stderr").read_text(), file=sys.stderr)
    print(json.dumps({"jobs": options.jobs, "lost": lost, "exit_codes": codes}))


if __name__ == "__main__":
    main()
