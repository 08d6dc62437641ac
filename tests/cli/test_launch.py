"""Which rank the supervisor blames, with stand-ins for ranks that end as under NCCL."""

import json
import os
import signal
import sys
from argparse import Namespace

import pytest

from r2mae.cli import launch
from r2mae.cli.ending import end
from r2mae.cli.launch import Supervisor
from r2mae.errors import InterruptedRun
from r2mae.schema.launch import FAILURE_FILE

# How a rank ends.
ABORT = "time.sleep(1); os.abort()"  # by NCCL's watchdog, when it has waited in vain
ABORT_LATER = "time.sleep(2); os.abort()"
FREEZE = "os.kill(os.getpid(), signal.SIGSTOP)"
# Says that it has waited in vain, but takes longer to end than the supervisor allows.
SLOW = """file = os.environ['R2MAE_FAILURE_FILE']
report = f'{file}.{os.getpid()}'
open(report, 'w').write('{"line": "r2mae: rank 0: lost another rank", "own": false, "waited": true}')
os.link(report, file)
time.sleep(60)"""
KILLED = "os.kill(os.getpid(), signal.SIGKILL)"
KILLED_LATER = "time.sleep(1.5); os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture
def run(monkeypatch, tmp_path, capfd):
    """Run a supervisor over stand-in ranks; gives (exit code, stderr)."""
    monkeypatch.setattr(launch, "_GRACE_SECONDS", 2.0)
    monkeypatch.setattr(launch, "_ABORT_GRACE_SECONDS", 4.0)

    def supervise(*programs):
        supervisor = Supervisor(tmp_path, len(programs), 10)

        def start(argv, failure):
            for program in programs:
                command = [sys.executable, "-c", f"import os, signal, time; {program}"]
                environment = os.environ | {FAILURE_FILE: str(failure)}
                supervisor.ranks.append(
                    launch.subprocess.Popen(command, env=environment)
                )

        supervisor._start = start
        return supervisor.run([]), capfd.readouterr().err

    return supervise


@pytest.mark.parametrize(
    ("programs", "line"),
    [
        ((ABORT, FREEZE), "rank 1 did not answer"),
        ((FREEZE, ABORT), "rank 0 did not answer"),
        ((ABORT, FREEZE, ABORT_LATER), "rank 1 did not answer"),
        ((SLOW, FREEZE), "rank 1 did not answer"),
        ((ABORT, KILLED), "rank 1 was killed by signal 9"),
        # The kernel may take longer to end the killed one than NCCL the others.
        ((ABORT, KILLED_LATER), "rank 1 was killed by signal 9"),
        ((ABORT, ABORT_LATER), "rank 0 was killed by signal 6"),
    ],
)
def test_ranks_that_nccl_aborted_are_not_blamed(run, programs, line):
    code, stderr = run(*programs)
    assert code == 1
    assert stderr.startswith(f"r2mae: {line}"), stderr
    assert stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "is_own", "waited"),
    [
        (
            "NCCL error in: ProcessGroupNCCL.cpp:77, remote process exited or there was "
            "a network error, NCCL version 2.27.5",
            False,
            False,
        ),
        (
            "ncclRemoteError: A call failed possibly due to a network error or a remote "
            "process exiting prematurely.",
            False,
            False,
        ),
        ("NCCL communicator was aborted on rank 0.", False, False),
        ("[gloo/transport/tcp/pair.cc:547] Connection closed by peer", False, False),
        ("[Rank 0] Watchdog caught collective operation timeout", False, True),
        ("CUDA error: device-side assert triggered", True, False),
    ],
)
def test_what_is_no_fault_of_this_rank(monkeypatch, tmp_path, text, is_own, waited):
    file = tmp_path / "failure.json"
    monkeypatch.setenv(FAILURE_FILE, str(file))
    monkeypatch.setenv("R2MAE_SUPERVISOR", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    arguments = Namespace(subcommand="pretrain", log_file=tmp_path / "stderr.log")
    assert end(RuntimeError(text), arguments) == 1
    failure = json.loads(file.read_text())
    assert (failure["own"], failure["waited"]) == (is_own, waited)
    says = "fault in r2mae" if is_own else "lost another rank"
    assert failure["line"].startswith(f"r2mae: rank 1: {says}: RuntimeError: ")


def test_after_a_signal_srun_does_not_cut_the_last_line(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert end(InterruptedRun(10, 3), Namespace()) == 138
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
        assert end(InterruptedRun(10, 3), Namespace()) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
