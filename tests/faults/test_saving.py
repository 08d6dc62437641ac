"""A save that fails, or dies, at any of its calls to the disk: the previous checkpoint is never lost."""

import builtins
import os
import resource
import shutil
import signal
import traceback
from pathlib import Path

import pytest

from r2mae.errors import InputError
from r2mae.training import checkpoint
from r2mae.training.checkpoint import MODEL, OPTIMIZER, load_tensors, read_manifest
from tests.training.runs import largest_difference, prepare, train, weights

SETTINGS = ("schedule.steps=4", "watch.every_steps=4", "checkpoint.every_steps=2")
_CALLS = (
    (os, "fsync"), (os, "open"), (os, "replace"), (os, "rename"), (os, "mkdir"), (os, "rmdir"), (os, "unlink"),
    (checkpoint, "save_file"),
)  # fmt: skip


class Disk:
    """Counts the calls that change the disk, and lets the n-th go wrong."""

    def __init__(self, monkeypatch, fail_at, fault):
        self.calls, self.fail_at, self.fault = 0, fail_at, fault
        for place, name in _CALLS:
            self._watch(monkeypatch, place, name)
        opened = builtins.open

        def open_file(file, mode="r", *arguments, **options):
            self._tick(counts=mode not in ("r", "rb"))
            return opened(file, mode, *arguments, **options)

        monkeypatch.setattr("io.open", open_file)  # through which pathlib writes

    def _tick(self, counts=True):
        if counts:
            self.calls += 1
            if self.calls == self.fail_at:
                self.fault()

    def _watch(self, monkeypatch, place, name):
        real = getattr(place, name)

        def called(*arguments, **options):
            self._tick()
            return real(*arguments, **options)

        monkeypatch.setattr(place, name, called)


def save_second(folder, fail_at, fault):
    """Continue a run from its first checkpoint to its second one, with a fault; the number of calls to the disk."""
    training, _ = prepare(folder.path.name, *SETTINGS)
    with pytest.MonkeyPatch.context() as patches:
        disk = Disk(patches, fail_at, fault)
        try:
            training.run()
        except (
            InputError,
            OSError,
        ) as error:  # of the writer, or of metrics.csv: both are one line for the user
            if fail_at is None or "No space left on device" not in str(error):
                raise
    return disk.calls


def die():
    os._exit(9)


def full():
    raise OSError(28, "No space left on device")


@pytest.fixture
def half_way(scratch):
    """A run with step_2 on disk and two steps to go, and what it comes to undisturbed."""
    whole = train("whole", *SETTINGS)
    training, folder = prepare("run", *SETTINGS)
    training.module.num_steps = 2
    training.run()
    assert folder.pointer("last").name == "step_2"
    return whole, folder


def in_a_fork(work):
    """The exit code of work in a forked process."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            Path("fault").write_text(traceback.format_exc())
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def check_nothing_is_lost(folder, whole):
    last = folder.pointer("last")
    assert last.name in ("step_2", "step_4")
    manifest = read_manifest(last)
    for name in (MODEL, OPTIMIZER):
        load_tensors(last, name, manifest)
    if manifest["step"] < 4:
        training, _ = prepare(folder.path.name, *SETTINGS)  # as the same command would
        training.run()
    assert largest_difference(weights(whole, 4), weights(folder, 4)) == 0


@pytest.mark.parametrize(("fault", "code"), [(die, 9), (full, 0)])
def test_a_fault_at_any_call(half_way, fault, code):
    whole, folder = half_way
    shutil.copytree(folder.path, "pristine")
    num_calls = save_second(folder, None, fault)
    assert num_calls > 15
    for number in range(1, num_calls + 1):
        shutil.rmtree(folder.path)
        shutil.copytree("pristine", folder.path)
        assert in_a_fork(lambda at=number: save_second(folder, at, fault)) in (
            0,
            code,
        ), number
        check_nothing_is_lost(folder, whole)


def test_a_file_that_may_not_grow(half_way):
    """A write that really fails, half-way through a file."""
    whole, folder = half_way
    folder._lock.release(force=True)

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        training, _ = prepare("run", *SETTINGS)
        try:
            training.run()
        except InputError as error:
            Path("said").write_text(str(error))

    assert in_a_fork(limited) == 0, Path("fault").read_text()
    assert "step_4 must be written, got" in Path("said").read_text()
    assert "step_2 is complete" in Path("said").read_text()
    assert not list(folder.checkpoints.glob(".writing*"))
    check_nothing_is_lost(folder, whole)
