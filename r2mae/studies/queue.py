"""Run the trials of a study in several worker processes, on one machine or many.

A worker takes the first trial that is neither finished nor locked by another worker. Locks
are files in the study's folder, so the tasks of a SLURM array are workers too.
"""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from r2mae.data.atomic import write_atomic
from r2mae.data.lock import acquire, file_lock
from r2mae.errors import InputError, InterruptedRun
from r2mae.progress import progress_bar
from r2mae.studies.plan import Study, Trial
from r2mae.studies.trial import is_finished, lacks_measurements, run_trial

_POLL_SECONDS = 0.5
_STOP_SECONDS = 2.0
_LAUNCHER = "R2MAE_STUDY_PID"
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_FAILED = "failed"
_KILLED = "the process was killed while it ran this trial"


def work(study: Study) -> None:
    """Run trials until none is left to take.

    A trial that fails is recorded and does not stop the others.

    Raises: InterruptedRun after a signal.
    """
    for trial in study.trials:
        _check_launcher()
        if not _is_open(study, trial):
            continue
        with _taken(study, trial) as is_ours:
            if is_ours and _is_open(study, trial):
                _run_recorded(study, trial)


def _is_open(study: Study, trial: Trial) -> bool:
    """Neither finished nor failed; another SLURM job array tries again what failed in this one."""
    if is_finished(study, trial):
        return False
    try:
        record = failure_file(study, trial).read_text()
    except FileNotFoundError:
        return True
    return not record.endswith(_job_line())


def _job_line() -> str:
    """The end of a record of failure: the job array that this process is a task of, if any."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return "" if array is None else f"\nSLURM job array {array}\n"


@contextmanager
def _taken(study: Study, trial: Trial) -> Iterator[bool]:
    """Whether the trial is this process's meanwhile; False where another has it."""
    lock = file_lock(study.trials_folder / f".{trial.name}.lock")
    is_ours = acquire(lock, wait=False)
    try:
        yield is_ours
    finally:
        if is_ours:
            lock.release()


def _run_recorded(study: Study, trial: Trial) -> None:
    record = failure_file(study, trial)
    record.parent.mkdir(exist_ok=True)
    # Written first: it remains if the process is killed.
    write_atomic(record, _KILLED + _job_line())
    try:
        run_trial(study, trial)
    except (InterruptedRun, KeyboardInterrupt):
        record.unlink(missing_ok=True)
        raise
    except InputError as error:
        write_atomic(record, str(error) + _job_line())
    except Exception as error:
        text = f"{type(error).__name__}: {error}\n\n{traceback.format_exc()}"
        write_atomic(record, text + _job_line())
    else:
        # Gone, where a second command forgot it on a file system without locks.
        record.unlink(missing_ok=True)


def run_workers(study: Study, jobs: int, command: Sequence[str]) -> None:
    """Run the study's trials in `jobs` processes and show how many are finished.

    Workers take the GPUs that this process sees in turn, one each.

    command: starts a worker. Its output goes to worker_<k>.log.
    """
    processes: dict[int, subprocess.Popen[bytes]] = {}
    environment = os.environ | {
        _LAUNCHER: str(os.getpid()),
        "OMP_NUM_THREADS": os.environ.get(
            "OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs))
        ),
    }
    show, shown = progress_bar(study.name, "trials"), -1
    try:
        for number in range(jobs):
            processes[number] = _start(study, number, command, environment)
        while processes:
            time.sleep(_POLL_SECONDS)
            if (finished := count_finished(study)) != shown:
                show(finished, len(study.trials))
                shown = finished
            for number, process in list(processes.items()):
                code = process.poll()
                if code is None:
                    continue
                del processes[number]
                # Killed by a signal: another worker takes its place, without the trial.
                if code < 0 and _is_left(study):
                    processes[number] = _start(study, number, command, environment)
    finally:
        # A worker saves its run before it ends. Repeated, because a signal during the
        # last step of a run ends that run only.
        while any(process.poll() is None for process in processes.values()):
            for process in processes.values():
                process.terminate()
            time.sleep(_STOP_SECONDS)


def end_with_launcher() -> None:
    """Let the kernel send SIGTERM to this worker when the study's process dies."""
    if _LAUNCHER in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)


def _check_launcher() -> None:
    """Raise KeyboardInterrupt if the study's process died.

    The kernel's SIGTERM is not enough: during the last step of a run it ends that run only.
    """
    parent = os.environ.get(_LAUNCHER)
    if parent is not None and os.getppid() != int(parent):
        raise KeyboardInterrupt


def _gpus() -> list[str]:
    """Names of the GPUs that this process sees, as CUDA_VISIBLE_DEVICES has them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name]
    return [str(number) for number in range(torch.cuda.device_count())]


def _start(
    study: Study, number: int, command: Sequence[str], environment: dict[str, str]
) -> "subprocess.Popen[bytes]":
    if gpus := _gpus():
        gpu = gpus[number % len(gpus)]
        environment = environment | {"CUDA_VISIBLE_DEVICES": gpu}
    with (study.folder / f"worker_{number}.log").open("ab") as log:
        return subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )


def worker_command(arguments: Sequence[str]) -> list[str]:
    """The command line of a worker with the study's own arguments."""
    return [sys.executable, "-m", "r2mae", "study", *arguments, "--worker"]


def forget_failures(study: Study) -> None:
    """Let trials that failed be tried again, but for those that others run at present."""
    for trial in study.trials:
        if (record := failure_file(study, trial)).exists():
            with _taken(study, trial) as is_ours:
                if is_ours:
                    record.unlink(missing_ok=True)


def failure_file(study: Study, trial: Trial) -> Path:
    """Where the error of a failed trial is written."""
    return study.folder / _FAILED / f"{trial.name}.txt"


def failures(study: Study) -> dict[str, str]:
    """First line of the error of each failed trial, by name; none that others run at present."""
    errors = {}
    for trial in study.trials:
        if (record := failure_file(study, trial)).exists():
            with _taken(study, trial) as is_ours:
                # A trial that has just ended well has no record any more.
                if is_ours and record.exists():
                    errors[trial.name] = record.read_text().partition("\n")[0]
    return errors


def count_finished(study: Study) -> int:
    """Number of trained and measured trials."""
    return sum(is_finished(study, trial) for trial in study.trials)


def describe_missing(study: Study) -> list[str]:
    """What a report of the study leaves out: a line for each kind, and for each failed trial."""
    lines, finished = [], count_finished(study)
    if finished < len(study.trials):
        lines.append(f"{finished} of {len(study.trials)} trials are measured.")
    if unmeasured := describe_unmeasured(study):
        lines.append(unmeasured)
    lines += [f"{name} failed: {error}" for name, error in failures(study).items()]
    seeds = _count_seeds(study)
    if seeds > study.section.seeds:
        lines.append(
            f"{study.trials_folder} has trials of {seeds} seeds; --seeds {seeds} "
            "compares them too."
        )
    return lines


def describe_unmeasured(study: Study) -> str | None:
    """A sentence where trained runs lack measurements of the study file."""
    count = sum(lacks_measurements(study, trial) for trial in study.trials)
    if not count:
        return None
    return (
        f"Trained runs that lack measurements of this study: {count}. The command that "
        "ran it measures them without training."
    )


def _count_seeds(study: Study) -> int:
    """Number of seeds of which there are trials, counted from seed 0."""
    seeds = [
        int(name.group(1))
        for place in study.trials_folder.iterdir()
        if (name := re.fullmatch(r".+_seed-(\d+)", place.name))
    ]
    return max(seeds, default=-1) + 1


def _is_left(study: Study) -> bool:
    return any(_is_open(study, trial) for trial in study.trials)
