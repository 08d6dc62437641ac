"""Ctrl-C: an exit during imports, an exception at other times, and other handlers are left alone."""

import os
import signal
import sys
import threading

import pytest

import r2mae.cli.interrupt as interrupt
from r2mae.cli.interrupt import exit_on_interrupted_import


@pytest.fixture(autouse=True)
def _default_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_during_an_import_the_process_ends_with_130(scratch, monkeypatch):
    (scratch / "interrupted_module.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    )
    monkeypatch.syspath_prepend(str(scratch))
    codes = []

    def leave(code):
        codes.append(code)
        raise SystemExit(code)

    monkeypatch.setattr(interrupt.os, "_exit", leave)
    with pytest.raises(SystemExit), exit_on_interrupted_import():
        import interrupted_module  # noqa: F401
    assert codes == [130]
    assert "interrupted_module" not in sys.modules


def test_a_handler_of_the_caller_stays(monkeypatch):
    seen = []
    signal.signal(signal.SIGINT, lambda *_: seen.append("own"))
    with exit_on_interrupted_import():
        os.kill(os.getpid(), signal.SIGINT)
    assert seen == ["own"]


def test_other_threads_set_no_handler():
    done = []

    def run():
        with exit_on_interrupted_import():
            done.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done == [signal.default_int_handler]
