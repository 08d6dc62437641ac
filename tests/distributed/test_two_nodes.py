"""Two nodes with a network each (Linux namespaces): torchrun, and one is cut off for a while."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from r2mae.training.run_folder import RunFolder
from tests.conftest import ROOT
from tests.distributed.jobs import (
    command,
    end,
    last_step,
    members,
    nobody_is_left,
    start,
    wait_for,
)

CUT_SECONDS = float(os.environ.get("R2MAE_CUT_SECONDS", "20"))
NOWHERE = "02:00:00:00:00:99"  # a hardware address that nobody has


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Network:
    """Two namespaces joined by a cable."""

    def __init__(self):
        self.names = [f"r2mae{os.getpid()}{side}" for side in "ab"]
        self.addresses = ["10.213.7.1", "10.213.7.2"]

    def build(self):
        for name in self.names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        first, second = self.names
        ip("-n", first, "link", "add", "cable", "type", "veth", "peer", "cable", "netns", second)  # fmt: skip
        for name, address in zip(self.names, self.addresses, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")

    def remove(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)

    def cut(self):
        """Lose every packet silently, as a switch does that is switched off."""
        for name, other in zip(self.names, self.addresses[::-1], strict=True):
            wrong = ("lladdr", NOWHERE, "nud", "permanent")
            ip("-n", name, "neighbour", "replace", other, *wrong, "dev", "cable")

    def mend(self):
        for name, other in zip(self.names, self.addresses[::-1], strict=True):
            ip("-n", name, "neighbour", "delete", other, "dev", "cable")

    def torchrun(self, cwd, node, *settings):
        """An agent of a node, with one rank."""
        name, address = self.names[node], self.addresses[node]
        script = str(ROOT / "scripts" / "torchrun.sh")
        line = ["ip", "netns", "exec", name, script, *command("run", *settings)[4:]]
        environment = {
            "PYTHON": sys.executable,
            "NNODES": "2",
            "NODE_RANK": str(node),
            "MASTER_ADDR": self.addresses[0],
            "LOCAL_ADDR": address,
            "GLOO_SOCKET_IFNAME": "cable",
        }
        return start(cwd, line, **environment)


@pytest.fixture
def network(tmp_path):
    if sys.platform != "linux" or shutil.which("ip") is None:
        pytest.skip("network namespaces need Linux and iproute2")
    network = Network()
    try:
        network.build()
    except subprocess.CalledProcessError as error:
        network.remove()
        pytest.skip(f"network namespaces are not allowed: {error.stderr.strip()}")
    yield network
    for pid in members(tmp_path):  # of a test that failed
        os.kill(pid, signal.SIGKILL)
    network.remove()


def start_both(network, cwd, *settings):
    nodes = [network.torchrun(cwd, node, *settings) for node in (0, 1)]
    folder = RunFolder(cwd / "runs" / "run")
    wait_for(folder, nodes[0], 5)
    return folder, *nodes


def test_a_node_that_is_cut_off_for_a_while_comes_back(network, tmp_path):
    """Ranks wait in a collective meanwhile, up to hardware.timeout_seconds."""
    folder, host, other = start_both(network, tmp_path, "schedule.steps=100000")
    network.cut()
    time.sleep(2)
    during = last_step(folder)
    time.sleep(CUT_SECONDS)
    assert last_step(folder) == during
    assert len([rank for rank in members(tmp_path).values() if rank]) == 2
    network.mend()
    # TCP waits twice as long before each attempt to send again.
    wait_for(folder, host, during + 50, seconds=60 + 2 * CUT_SECONDS)
    os.kill(host.pid, signal.SIGTERM)
    code, stderr, _ = end(host, 60)
    assert code == 1, stderr
    end(other, 60)
    status = folder.read_status()
    assert (status["status"], status["signal"]) == ("interrupted", signal.SIGTERM)
    assert "continuing at step" not in stderr
    assert nobody_is_left(tmp_path)
