"""scripts/torchrun.sh and scripts/slurm.sh on loopback: real torchrun agents, and a stand-in for srun and scontrol."""

import os
import signal
import socket
import sys

import pytest

from r2mae.training.run_folder import RunFolder
from tests.conftest import ROOT
from tests.distributed.jobs import (
    command,
    end,
    last_step,
    nobody_is_left,
    start,
    wait_for,
)

SRUN = """#!/usr/bin/env bash
shift
export SLURM_STEP_ID=0 SLURM_NTASKS=2 SLURM_NODEID=0 SLURM_JOB_NAME=r2mae SLURM_NODELIST=127.0.0.1
SLURM_PROCID=0 SLURM_LOCALID=0 "$@" & first=$!
SLURM_PROCID=1 SLURM_LOCALID=1 "$@" & second=$!
echo $second > second.pid
wait $first; code=$?
wait $second
exit $code
"""


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def by_script(name, *settings):
    """The words after scripts/<launcher>.sh."""
    return command(name, *settings)[4:]


def test_torchrun_on_one_machine_survives_a_killed_worker(tmp_path, port):
    folder = RunFolder(tmp_path / "runs" / "run")
    line = [
        str(ROOT / "scripts" / "torchrun.sh"),
        *by_script("run", "schedule.steps=300"),
    ]
    process = start(
        tmp_path, line, PYTHON=sys.executable, NPROC_PER_NODE="2", MASTER_PORT=str(port)
    )
    wait_for(folder, process, 5)
    (worker,) = torchrun_worker(tmp_path, "1")
    os.kill(worker, signal.SIGKILL)
    code, said, _ = end(process, 100)
    assert code == 0, said
    assert folder.read_status()["status"] == "finished"
    assert last_step(folder) == 300
    assert "continuing at step" in said
    assert nobody_is_left(tmp_path)


def torchrun_worker(cwd, rank):
    from tests.distributed.jobs import members

    return [pid for pid, found in members(cwd).items() if found == rank]


def test_two_nodes_and_one_of_them_is_lost_and_comes_back(tmp_path, port):
    folder = RunFolder(tmp_path / "runs" / "run")
    line = [
        str(ROOT / "scripts" / "torchrun.sh"),
        *by_script("run", "schedule.steps=300"),
    ]
    shared = {
        "PYTHON": sys.executable,
        "NNODES": "2",
        "MASTER_PORT": str(port),
        "LOCAL_ADDR": "127.0.0.1",
    }
    shared |= {"GLOO_SOCKET_IFNAME": "lo"}
    host = start(tmp_path, line, NODE_RANK="0", **shared)
    other = start(tmp_path, line, NODE_RANK="1", **shared)
    wait_for(folder, host, 5)
    other.kill()  # the kernel takes its worker along
    other.communicate(timeout=10)
    again = start(tmp_path, line, NODE_RANK="1", **shared)
    code, said, _ = end(host, 120)
    assert code == 0, said
    assert end(again, 30)[0] == 0
    assert folder.read_status()["status"] == "finished"
    assert last_step(folder) == 300
    assert "continuing at step" in said
    assert nobody_is_left(tmp_path)


def test_slurm_script_saves_and_queues_again_on_usr1(tmp_path, port):
    for name, text in (
        ("srun", SRUN),
        ("scontrol", '#!/usr/bin/env bash\necho "$@" >> queued\n'),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    folder = RunFolder(tmp_path / "runs" / "run")
    slurm = {
        "SLURM_JOB_ID": "4711",
        "SLURM_NNODES": "1",
        "SLURM_NTASKS_PER_NODE": "2",
        "MASTER_PORT": str(port),
    }
    path = f"{tmp_path}:{os.environ['PATH']}"
    line = [
        str(ROOT / "scripts" / "slurm.sh"),
        *by_script("run", "schedule.steps=100000"),
    ]
    process = start(tmp_path, line, PYTHON=sys.executable, PATH=path, **slurm)
    wait_for(folder, process, 5)
    os.kill(int((tmp_path / "second.pid").read_text()), signal.SIGUSR1)
    code, said, _ = end(process, 60)
    assert code == 138, said
    assert (tmp_path / "queued").read_text() == "requeue 4711\n"
    status = folder.read_status()
    assert (status["status"], status["signal"]) == ("interrupted", signal.SIGUSR1)
    assert folder.pointer("last").name == f"step_{status['step']}"
    assert nobody_is_left(tmp_path)
