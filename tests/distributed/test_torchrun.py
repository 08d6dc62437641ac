"""scripts/torchrun.sh on loopback, with real torchrun agents."""

import os
import signal
import sys

import pytest

from r2mae.training.run_folder import RunFolder
from tests.conftest import ROOT
from tests.distributed.jobs import (
    command,
    end,
    free_port,
    last_step,
    nobody_is_left,
    start,
    wait_for,
)


@pytest.fixture
def port():
    return free_port()


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
