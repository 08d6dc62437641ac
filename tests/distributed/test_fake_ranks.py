"""Rank 0 of many in one process: the others answer every collective at once.

Other ranks cannot be had so: DDP takes the sizes of its buckets from rank 0.
"""

import subprocess
import sys

from r2mae.training.run_folder import RunFolder
from tests.conftest import DEMO, overrides
from tests.distributed.jobs import ENVIRONMENT
from tests.training.runs import metric

STEPS = 20
SAMPLES = 2  # of a rank
PROGRAM = """
import sys
import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from r2mae.cli.main import main
from r2mae.training.strategies import OrderedDDP

def complete(_, bucket):
    future = torch.futures.Future()
    future.set_result(bucket.buffer())
    return future

fix_buckets = OrderedDDP.fix_buckets

def fix_and_answer(ddp):
    fix_buckets(ddp)
    ddp.register_comm_hook(None, complete)

OrderedDDP.fix_buckets = fix_and_answer
world_size = int(sys.argv[1])
dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=world_size)
dist.new_group = lambda **_: dist.group.WORLD
sys.exit(main(sys.argv[2:]))
"""


def test_rank_0_of_many_trains(tmp_path):
    nodes, devices = 32, 8
    world_size = nodes * devices
    settings = overrides(
        f"hardware.nodes={nodes}",
        f"hardware.devices={devices}",
        "hardware.accelerator=cpu",
        f"batch.global_samples={SAMPLES * world_size}",
        f"schedule.steps={STEPS}",
        "watch={every_steps: 20, samples: 16, knn: false, linear_probe: false, "
        "effective_rank: false, pictures: false}",
    )
    launcher = {
        "LOCAL_RANK": "0",
        "NODE_RANK": "0",
        "WORLD_SIZE": str(world_size),
    }
    command = [sys.executable, "-c", PROGRAM, str(world_size), "pretrain"]
    done = subprocess.run(
        [*command, str(DEMO), *settings],
        cwd=tmp_path,
        env=ENVIRONMENT | launcher,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = metric(RunFolder(tmp_path / "runs" / "digits_demo"), "train/loss")
    assert max(steps) == STEPS
