"""What each rank of two really trained on, recorded inside the job."""

import json
import subprocess
import sys

from tests.conftest import ROOT

_JOB = """
import json, os, sys
from tests.training.runs import prepare
from r2mae.training.module import Engine

original = Engine.training_step

def recorded(self, batch, batch_idx):
    row = {"positions": batch["positions"].tolist(), "indices": batch["indices"].tolist(),
           "masks": [mask.nonzero()[:, 0].tolist() for mask in batch["mask"].is_masked]}
    with open(f"rank_{self.trainer.global_rank}.jsonl", "a") as file:
        file.write(json.dumps(row) + "\\n")
    return original(self, batch, batch_idx)

Engine.training_step = recorded
prepare("run", f"hardware.devices={sys.argv[1]}", "batch.per_device_samples=4", "schedule.steps=6")[0].run()
"""


def record(cwd, devices):
    cwd.mkdir()
    (cwd / "job.py").write_text(_JOB)
    environment = {
        "PYTHONPATH": str(ROOT),
        "PATH": "/usr/bin:/bin",
        "OMP_NUM_THREADS": "1",
    }
    torchrun = ["-m", "torch.distributed.run", f"--nproc-per-node={devices}"]
    launcher = torchrun if devices > 1 else []
    command = [sys.executable, *launcher, str(cwd / "job.py"), str(devices)]
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 0, done.stderr
    seen = {}
    for file in cwd.glob("rank_*.jsonl"):
        for row in map(json.loads, file.read_text().splitlines()):
            for position, index, mask in zip(
                row["positions"], row["indices"], row["masks"], strict=True
            ):
                assert position not in seen
                seen[position] = (index, tuple(mask))
    return seen, len(list(cwd.glob("rank_*.jsonl")))


def test_positions_indices_and_masks_are_the_same_set(tmp_path):
    one, ranks_of_one = record(tmp_path / "one", 1)
    two, ranks_of_two = record(tmp_path / "two", 2)
    assert (ranks_of_one, ranks_of_two) == (1, 2)
    assert sorted(one) == list(range(6 * 16))
    assert one == two
