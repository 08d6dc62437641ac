"""scripts/slurm.sh with a stand-in for srun that kills as srun does, and one for scontrol."""

import os
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest

from r2mae.training.run_folder import RunFolder
from tests.conftest import ROOT
from tests.distributed.jobs import (
    SLOW_SAVE,
    command,
    end,
    free_port,
    members,
    nobody_is_left,
    start,
    wait_for,
    wait_for_file,
)

SRUN = Path(__file__).with_name("srun.py")
# By USR1, or killed by srun while Python shuts down; run.json tells, not the code.
STOPPED = (138, 137, 143)


@pytest.fixture
def job(tmp_path):
    """Start scripts/slurm.sh in a scratch folder; gives the function that does."""
    srun = f'#!/usr/bin/env bash\nexec {shlex.quote(sys.executable)} {SRUN} "$@"\n'
    scontrol = '#!/usr/bin/env bash\necho "$@" >> queued\n'
    for name, text in (("srun", srun), ("scontrol", scontrol)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "sitecustomize.py").write_text(SLOW_SAVE)

    def begin(*settings, **environment):
        slurm = {
            "SLURM_JOB_ID": "4711",
            "SLURM_NNODES": "1",
            "SLURM_NTASKS": "2",
            "SLURM_NTASKS_PER_NODE": "2",
            "MASTER_PORT": str(free_port()),
            "PYTHON": sys.executable,
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "PYTHONPATH": f"{tmp_path}:{ROOT}",
        } | environment
        settings = ("schedule.steps=100000", "checkpoint.every_steps=100000", *settings)
        line = [str(ROOT / "scripts" / "slurm.sh"), *command("run", *settings)[4:]]
        present = {name: value for name, value in slurm.items() if value is not None}
        return start(tmp_path, line, **present)

    return begin


def is_queued(cwd):
    file = cwd / "queued"
    return file.is_file() and file.read_text() == "requeue 4711\n"


def signal_step(cwd, number):
    """As SLURM does before the time limit: to every task and its data workers."""
    os.kill(int((cwd / "srun.pid").read_text()), number)


def check_saved(folder, number):
    status = folder.read_status()
    assert (status["status"], status["signal"]) == ("interrupted", number)
    assert status["slurm_job"] == "4711.0"
    assert folder.pointer("last").name == f"step_{status['step']}"


def test_a_save_longer_than_killwait_is_queued_again(job, tmp_path):
    folder = RunFolder(tmp_path / "runs" / "run")
    process = job("hardware.workers=1", SLOW_SAVE="4", KILL_WAIT="1")
    wait_for(folder, process, 5)
    signal_step(tmp_path, signal.SIGUSR1)
    code, stderr, _ = end(process, 60)
    assert code in STOPPED, stderr
    assert is_queued(tmp_path)
    check_saved(folder, signal.SIGUSR1)
    assert folder.read_status()["save_seconds"] >= 4
    assert nobody_is_left(tmp_path)


def test_usr1_to_one_rank_and_more_signals_during_the_save(job, tmp_path):
    folder = RunFolder(tmp_path / "runs" / "run")
    process = job("hardware.workers=1", SLOW_SAVE="6", KILL_WAIT="1")
    wait_for(folder, process, 5)
    second = int((tmp_path / "tasks").read_text().split()[1])
    os.kill(second, signal.SIGUSR1)
    wait_for_file(tmp_path / "saving")
    # The other rank ignores signals from the end of its step on: before that, a second
    # Ctrl-C ends it, and a busy machine is slow.
    time.sleep(3)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT, signal.SIGUSR1):
        for task in (tmp_path / "tasks").read_text().split():
            os.killpg(int(task), number)
    code, stderr, _ = end(process, 60)
    assert code in STOPPED, stderr
    assert is_queued(tmp_path)
    check_saved(folder, signal.SIGUSR1)


def test_sigterm_saves_and_does_not_queue(job, tmp_path):
    folder = RunFolder(tmp_path / "runs" / "run")
    process = job()
    wait_for(folder, process, 5)
    signal_step(tmp_path, signal.SIGTERM)
    code, stderr, _ = end(process, 60)
    assert code == 143, stderr
    assert not is_queued(tmp_path)
    check_saved(folder, signal.SIGTERM)


def test_ntasks_alone_and_what_an_earlier_job_left_queues_nothing(job, tmp_path):
    """Otherwise a job with a mistake would queue itself for ever."""
    folder = RunFolder(tmp_path / "runs" / "run")
    shape = {"SLURM_NTASKS_PER_NODE": None, "SLURM_CPUS_PER_TASK": "3"}
    process = job(**shape)
    wait_for(folder, process, 5)
    assert folder.read_status()["hardware"]["processes"] == 2
    options = (tmp_path / "srun_options").read_text().split()
    assert options == ["--kill-on-bad-exit=1", "--cpus-per-task=3"]
    signal_step(tmp_path, signal.SIGUSR1)
    code, stderr, _ = end(process, 60)
    assert code == 138, stderr
    assert is_queued(tmp_path)
    (tmp_path / "queued").unlink()
    code, stderr, _ = end(job("seed=1", SLURM_RESTART_COUNT="1"), 60)
    assert code in (2, 143), stderr  # 143: srun killed the rank that waited
    assert "seed must be 0 to continue runs/run, got 1" in stderr
    assert not is_queued(tmp_path)


def test_of_one_task_r2mae_starts_the_ranks(job, tmp_path):
    folder = RunFolder(tmp_path / "runs" / "run")
    process = job(SLURM_NTASKS=None, SLURM_NTASKS_PER_NODE=None)
    wait_for(folder, process, 5)
    ranks = set(filter(None, members(tmp_path).values()))
    assert ranks == {"0", "1"}
    os.kill(int((tmp_path / "tasks").read_text()), signal.SIGUSR1)
    code, stderr, _ = end(process, 60)
    assert code == 138, stderr
    assert is_queued(tmp_path)
    check_saved(folder, signal.SIGUSR1)


@pytest.mark.parametrize("tasks", [None, "2"])
def test_nodes_without_a_number_of_tasks_are_refused(job, tmp_path, tasks):
    """srun starts one task on each node then, which would train on one GPU of each."""
    process = job(SLURM_NNODES="2", SLURM_NTASKS=tasks, SLURM_NTASKS_PER_NODE=None)
    code, stderr, _ = end(process, 60)
    assert code in (2, 143), stderr  # 143: srun killed the other rank
    assert "must be the 2 x 1 processes of slurm, got 1 x 2. Use --set" in stderr
    assert "or sbatch --nodes=1 --ntasks-per-node=2." in stderr
    assert not (tmp_path / "runs").exists()
    assert not is_queued(tmp_path)
