"""A data worker leaves signals to its training process."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT

# A worker that says when it is set up, and one that a lost parent ends.
WORKER = """
import os, sys, time
from r2mae.data.worker import set_up_worker
sys.excepthook = lambda kind, *_: print(kind.__name__, flush=True)
parent, child = os.getpid(), os.fork()
if child == 0:
    set_up_worker(0)
    for error in (ConnectionResetError(), EOFError(), ZeroDivisionError()):
        sys.excepthook(type(error), error, None)
    print("ready", os.getpid(), flush=True)
    time.sleep(60)
    os._exit(1)
import signal
signal.signal(signal.SIGUSR2, lambda *_: os.kill(child, signal.SIGTERM))
while True:
    try:
        print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        break
    except InterruptedError:
        pass
"""


@pytest.mark.skipif(
    not hasattr(signal, "sigwaitinfo"), reason="the system has no sigwaitinfo"
)
def test_a_worker_ends_by_its_parent_alone():
    parent = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    # A lost parent is not reported, other errors are.
    assert parent.stdout.readline() == "ZeroDivisionError\n"
    worker = int(parent.stdout.readline().split()[1])
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGTERM):
        os.kill(worker, number)
    time.sleep(0.5)
    os.kill(worker, 0)
    parent.send_signal(signal.SIGUSR2)
    assert parent.stdout.readline() == "ended 0\n"
    assert parent.wait(timeout=10) == 0
