"""Ranks that die, freeze or raise: the job ends, says which and why, leaves nobody, and the same command continues."""

import os
import signal

from r2mae.training.run_folder import RunFolder
from tests.distributed.jobs import (
    ENVIRONMENT,
    command,
    end,
    last_step,
    members,
    nobody_is_left,
    pid_of,
    start,
    wait_for,
)

# Raises in a step of rank 1 when a file says so; imported by every Python of the job.
_SITE = """
import os
if os.environ.get("LOCAL_RANK") == "1":
    import builtins
    original = builtins.__build_class__
    def build(function, name, *bases, **options):
        made = original(function, name, *bases, **options)
        if name == "Engine" and made.__module__ == "r2mae.training.module":
            step = made.training_step
            def training_step(self, batch, batch_idx):
                if os.path.exists("raise"):
                    raise ZeroDivisionError("made by a test")
                return step(self, batch, batch_idx)
            made.training_step = training_step
        return made
    builtins.__build_class__ = build
"""
SETTINGS = (
    "schedule.steps=100000",
    "hardware.timeout_seconds=10",
    "hardware.workers=1",
)
# Rank 0 is the harder one to lose: the others meet at its store. Which rank the supervisor
# names, of killed and frozen ones, is also in tests/cli/test_launch.py.
FAULTS = {
    "rank 0 is killed": (0, signal.SIGKILL, 120, "rank 0 was killed by signal 9"),
    "rank 0 freezes": (
        0,
        signal.SIGSTOP,
        140,
        "rank 0 did not answer within hardware.timeout_seconds: 10",
    ),
    "rank 1 raises": (
        1,
        None,
        120,
        "rank 1: fault in r2mae: ZeroDivisionError: made by a test",
    ),
}


def test_every_fault_ends_the_job_and_the_same_command_continues(tmp_path):
    """One run goes through all faults, since each continuation is also the next one's start."""
    (tmp_path / "sitecustomize.py").write_text(_SITE)
    path = f"{tmp_path}:{ENVIRONMENT['PYTHONPATH']}"
    folder = RunFolder(tmp_path / "runs" / "run")
    for fault, (rank, number, seconds, words) in FAULTS.items():
        before = last_step(folder)
        process = start(tmp_path, command("run", *SETTINGS), PYTHONPATH=path)
        wait_for(folder, process, before + 5)
        assert sorted(filter(None, members(tmp_path).values())) == [
            "0",
            "0",
            "1",
            "1",
        ]  # ranks, and a worker each
        if number is None:
            (tmp_path / "raise").touch()
        else:
            os.kill(pid_of(tmp_path, rank), number)
        code, said, taken = end(process, seconds)
        print(f"{fault}: ended after {taken:.1f} s")
        complaints = [line for line in said.splitlines() if line.startswith("r2mae:")]
        assert code == 1, said
        assert len(complaints) == 1, said
        assert words in complaints[0]
        assert "stderr.log" in complaints[0]
        assert "Traceback" not in said
        assert nobody_is_left(tmp_path), fault
        assert folder.read_status()["status"] == "failed"
    (tmp_path / "raise").unlink()
    log = folder.stderr.read_text()
    assert "rank 1: 2" in log  # with the time, above its traceback
    assert "in training_step" in log
    assert "ZeroDivisionError: made by a test" in log


def test_the_supervisor_takes_its_ranks_along(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "run")
    process = start(tmp_path, command("run", "schedule.steps=100000"))
    wait_for(folder, process, 3)
    process.kill()
    process.communicate(timeout=30)
    assert nobody_is_left(tmp_path)
