"""Locks: between processes, after a killed one, and where a file system has none."""

import errno
import signal
import subprocess
import sys
import time

import filelock
import pytest

from r2mae.data.lock import one_at_a_time
from r2mae.errors import InputError
from r2mae.training.run_folder import RunFolder

_HOLD = """
import sys, time
from pathlib import Path
from r2mae.data.lock import one_at_a_time
with one_at_a_time(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold(out, seconds):
    """A process that holds the lock of `out`."""
    command = [sys.executable, "-c", _HOLD, str(out), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_waits_or_is_refused(tmp_path):
    out = tmp_path / "out"
    process = hold(out, 1)
    begin = time.monotonic()
    with pytest.raises(InputError, match=r"written by one process, got a second"):
        one_at_a_time(out, wait=False).__enter__()
    with one_at_a_time(out):
        assert time.monotonic() - begin > 0.5
    assert process.wait() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_releases_its_lock(tmp_path):
    process = hold(tmp_path / "out", 60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with one_at_a_time(tmp_path / "out", wait=False):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_may_have_no_locks(tmp_path, monkeypatch, code):
    def without_locks(*_):
        raise OSError(code, "no locks")

    monkeypatch.setattr("fcntl.flock", without_locks)
    with one_at_a_time(tmp_path / "out", wait=False):
        (tmp_path / "out").write_text("")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    RunFolder(tmp_path).lock()


def test_a_folder_that_may_not_be_written_is_an_error(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "refused")

    monkeypatch.setattr(filelock.FileLock, "_acquire", refused)
    with pytest.raises(PermissionError), one_at_a_time(tmp_path / "out"):
        pass
