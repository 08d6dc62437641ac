"""When DDP's gradient buckets are sent, on two gloo ranks."""

import itertools
import json
import socket
import subprocess
import sys

from tests.conftest import DEMO, overrides
from tests.distributed.jobs import ENVIRONMENT

# A ViT of 12 blocks and 21 M parameters: five buckets.
SETTINGS = overrides(
    "hardware.devices=2",
    "hardware.accelerator=cpu",
    "model.width=384",
    "model.depth=12",
    "model.heads=6",
    "batch.global_samples=4",
    "batch.per_device_samples=2",
    "schedule.steps=3",
    "schedule.warmup_steps=1",
    "watch.samples=16",
    "watch.every_steps=3",
    "checkpoint.every_steps=3",
)
# Runs `r2mae pretrain` and prints, for each bucket of the last step, the share of
# gradients that were finished when it was sent.
PROGRAM = """
import json, os, sys
import torch.distributed as dist
from r2mae.cli.main import main
from r2mae.training.module import Engine

start, finished, sent = Engine.on_train_start, [], []

def on_train_start(engine):
    start(engine)
    parameters = [p for p in engine.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.register_post_accumulate_grad_hook(finished.append)

    def record(_, bucket):
        if bucket.index() == 0:
            sent.clear()
        sent.append(((len(finished) - 1) % len(parameters) + 1) / len(parameters))
        average = bucket.buffer().div_(dist.get_world_size())
        future = dist.all_reduce(average, async_op=True).get_future()
        return future.then(lambda done: done.value()[0])

    engine.trainer.strategy.model.register_comm_hook(None, record)

Engine.on_train_start = on_train_start
code = main(sys.argv[1:])
if os.environ.get("LOCAL_RANK") == "0":
    print(json.dumps(sent))
sys.exit(code)
"""


def test_buckets_are_sent_throughout_backward(tmp_path):
    shares = _shares_finished(tmp_path)
    assert len(shares) >= 4
    assert shares == sorted(shares)
    assert shares[0] < 0.2, shares
    assert shares[-2] < 0.95 <= shares[-1], shares
    gaps = [late - early for early, late in itertools.pairwise(shares)]
    assert max(gaps) < 0.45, shares


def _shares_finished(cwd):
    """Of each bucket in the order of sending: the share of gradients that were finished."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "pretrain", str(DEMO), *SETTINGS],
            cwd=cwd,
            env=ENVIRONMENT | shared | {"NODE_RANK": "0", "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    output, _ = ranks[0].communicate(timeout=300)
    assert [rank.wait() for rank in ranks] == [0, 0]
    return json.loads(output)
