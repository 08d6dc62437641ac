"""Two gloo ranks that share the batches of a test split, against one process."""

import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import DEMO, ROOT
from tests.distributed.jobs import ENVIRONMENT, free_port

# Writes results, and the samples that this rank computed, for 4 batches, 3 and 1.
PROGRAM = """
import sys
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist

from r2mae.evaluation.inference import inference
from r2mae.evaluation.shared_batches import map_batches, of_first_rank, rank_group
from r2mae.recipe.assembly import build_model, open_split
from r2mae.recipe.load import load_recipe

demo, store, rank, size = *sys.argv[1:3], *map(int, sys.argv[3:])
recipe = load_recipe(demo)
torch.manual_seed(0)
model, source = build_model(recipe), open_split(recipe, "test")
if size > 1:
    dist.init_process_group("gloo", f"file://{store}", rank=rank, world_size=size)
found = {}
with rank_group(timedelta(seconds=60)) as group:
    assert (group is None) == (size == 1)
    assert of_first_rank(rank, group) == 0
    with inference(recipe.hardware, group=group):
        for batch_size in (100, 128, 360):
            seen, told = [0], []
            def compute(batch):
                seen.extend(batch["indices"].tolist())
                return model.embed(batch).numpy(), batch["indices"].numpy()
            results = map_batches(
                model, source, compute, lambda *at: told.append(at), batch_size
            )
            features, indices = map(np.concatenate, zip(*results))
            found |= {f"features_{batch_size}": features, f"indices_{batch_size}": indices}
            found |= {f"seen_{batch_size}": len(seen) - 1, f"told_{batch_size}": told}
np.savez(f"{store}_{rank}_of_{size}.npz", **found)
"""

# Runs `r2mae` and prints how many samples this rank tests.
COUNTED = """
import sys
from r2mae.cli.main import main
from r2mae.evaluation import shared_batches

visit_all = shared_batches.for_each_batch

def counted(models, source, visit, batch_size, rows, progress):
    print("tested", len(rows), "progress" if progress else "silent", flush=True)
    visit_all(models, source, visit, batch_size, rows, progress)

shared_batches.for_each_batch = counted
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    store = tmp_path_factory.mktemp("shared") / "store"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, DEMO, store, str(rank), str(size)],
            env=ENVIRONMENT,
        )
        for rank, size in ((0, 1), (0, 2), (1, 2))
    ]
    assert [process.wait(300) for process in started] == [0, 0, 0]
    names = ("0_of_1", "0_of_2", "1_of_2")
    return [dict(np.load(f"{store}_{name}.npz")) for name in names]


def test_each_rank_has_the_bits_of_one_process_in_order(ranks):
    for batch_size in (100, 128, 360):
        one, *both = [rank[f"features_{batch_size}"] for rank in ranks]
        for features in both:
            np.testing.assert_array_equal(features, one)
        for rank in ranks:
            np.testing.assert_array_equal(rank[f"indices_{batch_size}"], np.arange(360))


def test_each_sample_is_read_by_one_rank(ranks):
    counts = [
        [int(rank[f"seen_{batch_size}"]) for rank in ranks]
        for batch_size in (100, 128, 360)
    ]
    assert counts == [[360, 200, 160], [360, 232, 128], [360, 360, 0]]
    assert ranks[1]["told_100"].tolist() == [[100, 200], [200, 200]]
    assert ranks[2]["told_360"].tolist() == []


def test_finetune_tests_on_all_ranks(tmp_path):
    settings = (
        "hardware.devices=2",
        "hardware.accelerator=cpu",
        "model.init_from=null",
        "model.depth=1",
        "schedule={steps: 2, warmup_steps: 1}",
        "watch={every_steps: 2, samples: 16}",
        "checkpoint.every_steps=2",
        "batch={global_samples: 8, per_device_samples: 4}",
        "repeat={seeds: 2, labels_per_class: [5]}",
    )
    recipe = ROOT / "recipes" / "vision" / "digits_finetune.yaml"
    line = [sys.executable, "-c", COUNTED, "finetune", recipe, "--json"]
    for setting in settings:
        line += ["--set", setting]
    job = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    job |= {"WORLD_SIZE": "2", "NODE_RANK": "0"}
    started = [
        subprocess.Popen(
            line,
            cwd=tmp_path,
            env=ENVIRONMENT | job | {"LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    first, second = (process.communicate(timeout=300)[0] for process in started)
    assert [process.returncode for process in started] == [0, 0]
    assert first.startswith("tested 256 progress\ntested 256 progress\n{")
    assert second == "tested 104 silent\n" * 2
    for file in tmp_path.rglob("test_predictions.npy"):
        assert np.load(file).shape == (2, 360)
