import time

import pytest
import torch

from r2mae.data.source import StreamDataset
from r2mae.recipe.assembly import build_outline, open_training_data
from r2mae.recipe.flops import training_flops
from r2mae.recipe.load import load_recipe
from r2mae.training import throughput
from r2mae.training.throughput import Throughput, peak_flops
from tests.conftest import DEMO, TINY
from tests.training.runs import metric, train


def test_waiting_for_data_is_seen(scratch, monkeypatch):
    load = StreamDataset.__getitems__
    monkeypatch.setattr(
        StreamDataset,
        "__getitems__",
        lambda dataset, positions: [time.sleep(0.2), load(dataset, positions)][1],
    )
    folder = train("slow", "schedule.steps=4", "watch.every_steps=10")
    waits = metric(folder, "train/data_wait_share")
    assert all(0.5 < waits[step] < 1 for step in (2, 3, 4))
    assert metric(folder, "train/samples_per_second")[3] < 16 / 0.2
    assert 0.05 < metric(folder, "train/peak_memory_gib")[4] < 30
    assert not metric(folder, "train/model_flop_utilization")  # a CPU has no data sheet


@pytest.mark.parametrize(
    ("name", "settings", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", {"is_bf16": True, "is_tf32": False}, 989.4),
        ("NVIDIA H100 PCIe", {"is_bf16": True, "is_tf32": False}, 756.0),
        ("NVIDIA A100-SXM4-40GB", {"is_bf16": False, "is_tf32": True}, 156.0),
        ("NVIDIA L40S", {"is_bf16": False, "is_tf32": False}, 91.6),
        ("NVIDIA A10", {"is_bf16": True, "is_tf32": False}, None),
    ],
)
def test_peaks_of_devices(name, settings, tflops):
    peak = peak_flops(name, **settings)
    assert peak == (None if tflops is None else pytest.approx(tflops * 1e12))


def test_utilization_is_operations_over_time_and_peak(monkeypatch):
    class Trainer:
        profiler = None
        world_size = 2

        class strategy:  # noqa: N801 - as Lightning's attribute
            root_device = torch.device("cpu")

    class Report:
        num_visible, mask_ratio = 30, 0.75  # of 120 tokens a rank

    clock = iter([10.0, 14.0, 20.0])
    monkeypatch.setattr(throughput.time, "monotonic", lambda: next(clock))
    rates = Throughput(8, lambda visible_share: 1000 * visible_share)
    rates.start(Trainer, 5)
    rates._peak_flops = 30_000.0
    for _ in range(2):
        rates.add(Report, world_size=2)
    logged = rates.read(Trainer, 7)
    assert logged["train/samples_per_second"] == 2 * 8 / 4
    assert logged["train/visible_tokens_per_second"] == 2 * 2 * 30 / 4
    # 480 tokens of 250 operations in 4 s
    assert logged["train/model_flop_utilization"] == pytest.approx(30_000 / 30_000)


def test_operations_of_a_token_follow_the_visible_share():
    recipe = load_recipe(str(DEMO), TINY)
    flops = training_flops(recipe, open_training_data(recipe)[0], None)
    outline = build_outline(recipe)
    for visible in (4, 6, 10):
        expected = outline.training_flops(visible) / 16
        assert flops(visible / 16) == pytest.approx(expected, rel=0.02)
