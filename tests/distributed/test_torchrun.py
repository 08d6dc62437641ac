"""scripts/torchrun.sh on loopback, with real torchrun agents."""

import os
import signal
import sys

import pytest

from r2mae.training.run_folder import RunFolder
from tests.conftest import ROOT
from tests.distributed.jobs import (
    SLOW_SAVE,
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


def test_torchrun_on_one_machine_survives_a_killed_worker(tmp_path):
    """On any free port, since MASTER_PORT is not set."""
    folder = RunFolder(tmp_path / "runs" / "run")
    line = [
        str(ROOT / "scripts" / "torchrun.sh"),
        *by_script("run", "schedule.steps=300"),
    ]
    process = start(tmp_path, line, PYTHON=sys.executable, NPROC_PER_NODE="2")
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
    assert folder.read_status()["hardware"]["nodes"] == 2
    assert last_step(folder) == 300
    assert "continuing at step" in said
    assert nobody_is_left(tmp_path)


@pytest.mark.parametrize("to", ["one rank", "the agent"])
def test_a_signal_during_a_slow_save_ends_the_job_and_the_save_is_whole(tmp_path, to):
    """A signal to one rank does not make torchrun start the ranks again."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_SAVE)
    folder = RunFolder(tmp_path / "runs" / "run")
    settings = ("schedule.steps=100000", "checkpoint.every_steps=100000")
    line = [str(ROOT / "scripts" / "torchrun.sh"), *by_script("run", *settings)]
    process = start(
        tmp_path,
        line,
        PYTHON=sys.executable,
        NPROC_PER_NODE="2",
        SLOW_SAVE="5",
        PYTHONPATH=f"{tmp_path}:{ROOT}",
        TORCH_ELASTIC_SHUTDOWN_TIMEOUT="1",  # the script sets a longer one
    )
    wait_for(folder, process, 5)
    if to == "one rank":
        os.kill(torchrun_worker(tmp_path, "1")[0], signal.SIGTERM)
    else:
        os.kill(process.pid, signal.SIGTERM)
    code, stderr, taken = end(process, 60)
    assert code == (0 if to == "one rank" else 1), stderr
    assert taken >= 5
    assert "stopped by signal 15, saved at step" in stderr
    assert "continuing at step" not in stderr
    status = folder.read_status()
    assert (status["status"], status["signal"]) == ("interrupted", signal.SIGTERM)
    assert folder.pointer("last").name == f"step_{status['step']}"
    assert nobody_is_left(tmp_path)
