"""scripts/bench_lora.py chooses the learning rate on held-out samples of seed 0, never on the test split."""

import importlib
import sys

import numpy as np
import pytest

from tests.conftest import ROOT


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    before = set(sys.modules)
    yield importlib.import_module("bench_lora")
    for name in set(sys.modules) - before:
        if name.partition("_")[0] in ("bench", "worth"):
            del sys.modules[name]


def test_the_learning_rate_of_the_better_held_out_accuracy_is_used(
    bench, tmp_path, monkeypatch
):
    low, high = bench.RATES
    held_out = {low: [0.9, 0.5], high: [0.2, 0.6]}  # at steps 2 and 4
    hits = {low: 10, high: 5}  # of 10 test samples
    calls = []

    def finetune(task, method, seed, rate, work):
        calls.append((seed, rate))
        folder = tmp_path / f"{seed}_{rate}"
        folder.mkdir()
        rows = [
            f"{step},validation/{name},{value}"
            for step, accuracy in zip((2, 4), held_out[rate], strict=True)
            for name, value in (("loss", 1.0), ("accuracy", accuracy))
        ]
        rows = ["step,metric,value", *rows, "5,train/loss,1.0"]
        (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
        is_right = np.arange(10) < hits[rate]
        np.save(folder / "test_predictions.npy", np.stack([is_right, np.ones(10)]))
        return bench.Run(folder, {"CPU seconds": 7.0, "peak MiB": 80.0})

    monkeypatch.setattr(bench, "finetune", finetune)
    monkeypatch.setattr(bench, "checked", lambda *_: {"parameters": {"trained": 1234}})
    task = bench.TASKS["CIFAR-10"]._replace(pretrain=lambda seed, work: f"run_{seed}")
    assert bench.measure(task, "head", tmp_path) == {
        "accuracy": [0.5] * 3,
        "CPU seconds": [7.0] * 3,
        "peak MiB": [80.0] * 3,
        "learning rate": [high] * 3,
        "trained parameters": [1234],
    }
    assert calls == [(0, low), (0, high), (1, high), (2, high)]
