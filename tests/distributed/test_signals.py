"""A signal to one rank, or to the whole group, stops both ranks at the same saved step."""

import os
import signal

import pytest

from r2mae.training.run_folder import RunFolder
from tests.distributed.jobs import command, end, nobody_is_left, pid_of, start, wait_for


@pytest.mark.parametrize(
    ("number", "to"), [(signal.SIGTERM, "rank 1"), (signal.SIGINT, "group")]
)
def test_a_signal_saves_and_ends_every_rank(tmp_path, number, to):
    folder = RunFolder(tmp_path / "runs" / "run")
    process = start(tmp_path, command("run", "schedule.steps=100000"))
    wait_for(folder, process, 5)
    if to == "group":  # as a terminal does on Ctrl-C
        os.killpg(process.pid, number)
    else:
        os.kill(pid_of(tmp_path, 1), number)
    code, said, taken = end(process, 30)
    print(f"{number.name} to {to}: ended after {taken:.1f} s")
    assert code == 128 + number, said
    assert said.count("r2mae:") == 1
    assert f"stopped by signal {int(number)}, saved at step" in said
    assert "Traceback" not in said
    status = folder.read_status()
    assert (status["status"], status["signal"]) == ("interrupted", number)
    assert folder.pointer("last").name == f"step_{status['step']}"
    assert nobody_is_left(tmp_path)
