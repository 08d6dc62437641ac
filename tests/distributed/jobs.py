"""Jobs of several real processes: start one, wait for a step, find its ranks, see that none is left."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from r2mae.training.run_folder import RunFolder
from r2mae.training.trace import read_trace
from tests.conftest import DEMO, ROOT, overrides
from tests.training.runs import metric

# Bare outside names: the tests of one launcher must not see another's.
PLAIN = {
    name: os.environ[name]
    for name in ("PATH", "HOME", "OMP_NUM_THREADS", "LANG")
    if name in os.environ
}
ENVIRONMENT = PLAIN | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

# Every save takes this much longer; imported by every Python of the job.
SLOW_SAVE = """
import os
if seconds := float(os.environ.get("SLOW_SAVE", "0")):
    import builtins, time
    original = builtins.__build_class__
    def build(function, name, *bases, **options):
        made = original(function, name, *bases, **options)
        if name == "CheckpointWriter":
            write = made._write
            def slow(self, path, *rest):
                open("saving", "w").close()
                time.sleep(seconds)
                write(self, path, *rest)
            made._write = slow
        return made
    builtins.__build_class__ = build
"""


def command(name, *settings):
    """`pretrain` of the tiny recipe on two processes, watching little."""
    fixed = (
        "hardware.devices=2",
        "hardware.accelerator=cpu",
        "watch.every_steps=100000",
        "watch.samples=16",
    )
    arguments = overrides(*fixed, *settings)
    return [
        sys.executable,
        "-P",
        "-m",
        "r2mae",
        "pretrain",
        str(DEMO),
        *arguments,
        "--name",
        name,
    ]


def free_port():
    """A port of loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(cwd, line, **environment):
    """A process that leads a group."""
    return subprocess.Popen(
        line,
        cwd=cwd,
        env=ENVIRONMENT | environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def last_step(folder: RunFolder) -> int:
    return (
        max(metric(folder, "train/loss"), default=0) if folder.metrics.is_file() else 0
    )


def kill_at(cwd, arguments, folder, step):
    """Run `r2mae` with --trace until a step was traced, then SIGKILL all processes."""
    program = str(Path(sys.executable).with_name("r2mae"))
    process = subprocess.Popen(
        [program, *map(str, arguments)],
        cwd=cwd,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for _ in range(60_000):
        rows = read_trace(folder)
        if rows and rows[-1]["step"] >= step:
            break
        assert process.poll() is None
        time.sleep(0.01)
    else:
        pytest.fail(f"step {step} did not come")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(folder, process, step, seconds=600):
    """Until metrics.csv reaches a step."""
    for _ in range(round(seconds / 0.05)):
        if process.poll() is not None:
            pytest.fail(f"ended with {process.returncode}: {process.stderr.read()}")
        if last_step(folder) >= step:
            return
        time.sleep(0.05)
    pytest.fail(f"step {step} did not come")


def wait_for_file(path):
    for _ in range(2_400):
        if path.exists():
            return
        time.sleep(0.05)
    pytest.fail(f"{path} did not come")


def members(cwd):
    """{pid: rank or None} of the processes in a working folder, by /proc."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").resolve() != Path(cwd).resolve() or b"r2mae" not in (
                entry / "cmdline"
            ).read_bytes():
                continue
            words = dict(
                word.split("=", 1)
                for word in (entry / "environ").read_text().split("\0")
                if "=" in word
            )
        except (OSError, UnicodeDecodeError):
            continue
        found[int(entry.name)] = words.get("RANK", words.get("LOCAL_RANK"))
    return found


def pid_of(cwd, rank):
    """Of a rank; its data workers have the same environment and larger numbers."""
    return min(pid for pid, found in members(cwd).items() if found == str(rank))


def end(process, seconds):
    """(exit code, stderr, seconds taken) of a job that has to end by itself."""
    began = time.monotonic()
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"still there after {seconds} s")
    return process.returncode, said, time.monotonic() - began


def nobody_is_left(cwd):
    """Data workers look for their parent every 5 s."""
    for _ in range(100):
        if not members(cwd):
            return True
        time.sleep(0.1)
    return False
