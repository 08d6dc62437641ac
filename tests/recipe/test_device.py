"""The device of a run: in run.json, in the first line, and when its memory is full."""

import itertools
from datetime import timedelta

import pytest
import torch

from r2mae.errors import InputError
from r2mae.recipe.device import (
    choose_accelerator,
    emulated_notice,
    fallback_notice,
    num_visible_devices,
    out_of_memory,
)
from r2mae.recipe.load import load_recipe
from r2mae.recipe.train import train_run
from r2mae.training.run_folder import RunFolder
from r2mae.training.slurm import SlurmStep
from r2mae.training.strategies import OrderedDDPStrategy, ShardedStrategy
from tests.conftest import DEMO, TINY

STEP = {
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "5",
    "SLURM_NODEID": "0",
    "SLURM_NTASKS": "8",
}
OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of "
    "79.15 GiB of which 1.20 GiB is free. Process 1 has 77.95 GiB memory in use."
)


def tiny(*settings):
    return load_recipe(str(DEMO), [*TINY, *settings])


@pytest.fixture
def gpus(monkeypatch):
    """Let torch see a number of GPUs."""

    def see(number):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)

    return see


def in_step(monkeypatch, **more):
    for name, value in (STEP | more).items():
        monkeypatch.setenv(name, value)


def test_where_a_run_trains_is_said_and_recorded(scratch, capfd):
    path = scratch / "runs" / "run"
    train_run(tiny("schedule.steps=4", "hardware.accelerator=cpu"), path, source="test")
    hardware = RunFolder(path).read_status()["hardware"]
    assert hardware["host"]
    assert hardware == {
        "host": hardware["host"],
        "device": "cpu",
        "precision": "32-true",
        "nodes": 1,
        "processes": 1,
    }
    first = capfd.readouterr().err.splitlines()[0]
    assert first.endswith(f"on 1 x cpu in 32-true, host {hardware['host']}")
    assert RunFolder(path).read_status()["save_seconds"] > 0


def test_auto_says_that_it_trains_on_the_cpu(scratch, capfd, gpus, monkeypatch):
    gpus(0)
    recipe = tiny("schedule.steps=4", "hardware.accelerator=auto")
    train_run(recipe, scratch / "runs" / "run", source="test")
    first = capfd.readouterr().err.splitlines()[0]
    assert "hardware.accelerator: auto found no GPU" in first
    assert first.endswith("training on the CPU")
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "CUDA_VISIBLE_DEVICES is '-1'" in fallback_notice(recipe)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert "torch sees none" in fallback_notice(recipe)
    assert fallback_notice(tiny("hardware.accelerator=cpu")) is None
    gpus(1)
    assert fallback_notice(recipe) is None


def test_bf16_without_instructions_for_it_is_said(monkeypatch):
    """Training took 3.1 times the CPU time of float32 on a Xeon without avx512_bf16."""
    settings = ["hardware.accelerator=cpu", "hardware.precision=bf16-mixed"]

    def have(capabilities):
        monkeypatch.setattr(
            torch.cpu, "get_capabilities", lambda: capabilities, raising=False
        )

    have({"avx512_bf16": False, "amx_bf16": False, "avx2": True})
    assert "32-true" in emulated_notice(tiny(*settings))
    assert emulated_notice(tiny(settings[0])) is None
    have({"avx512_bf16": True, "amx_bf16": False})
    assert emulated_notice(tiny(*settings)) is None
    have({})
    assert emulated_notice(tiny(*settings)) is None


def test_out_of_memory_is_one_line_with_a_smaller_micro_batch(scratch, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError(OUT_OF_MEMORY)

    monkeypatch.setattr("r2mae.training.module.Engine.training_step", fail)
    recipe = tiny("batch.global_samples=48", "batch.per_device_samples=24")
    with pytest.raises(InputError) as caught:
        train_run(recipe, scratch / "runs" / "run", source="test")
    message = str(caught.value)
    assert message == (
        "batch.per_device_samples must fit into the GPU's memory, got 24 (Tried to "
        "allocate 2.00 GiB; GPU 0 has a total capacity of 79.15 GiB of which 1.20 GiB "
        "is free). Use --set batch.per_device_samples=12: gradients are accumulated, "
        "and the global batch stays the same."
    )
    assert RunFolder(scratch / "runs" / "run").read_status()["status"] == "failed"
    tiny("batch.global_samples=48", "batch.per_device_samples=12")  # as it says


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        (["batch.global_samples=14"], "Use --set batch.per_device_samples=7:"),
        (["batch.global_samples=9"], "Use --set batch.per_device_samples=3:"),
        (["batch.global_samples=1"], "Use --set hardware.precision=bf16-mixed, or a"),
        (
            ["batch.global_samples=1", "hardware.precision=bf16-mixed"],
            "Use a smaller model.",
        ),
    ],
)
def test_remedies_of_out_of_memory(settings, remedy):
    message = str(out_of_memory(tiny(*settings), torch.OutOfMemoryError("no room")))
    assert remedy in message


def test_a_gpu_for_each_task_of_srun(monkeypatch, gpus):
    recipe = tiny("hardware.devices=8", "hardware.accelerator=gpu")
    gpus(1)
    in_step(monkeypatch)
    with pytest.raises(InputError, match="--gpus-per-node=8, or --gpus-per-task=1"):
        choose_accelerator(recipe)
    in_step(monkeypatch, SLURM_GPUS_PER_TASK="1")
    assert choose_accelerator(recipe) == "gpu"
    assert num_visible_devices(recipe) == 1
    gpus(8)
    assert num_visible_devices(recipe) == 8


def test_the_device_of_a_task(monkeypatch):
    in_step(monkeypatch, SLURM_NODELIST="a[3-4],b", SLURM_STEP_NODELIST="a4,b")
    monkeypatch.setenv("MASTER_ADDR", "")  # so that it is restored after the test
    monkeypatch.delenv("MASTER_ADDR")
    cluster = SlurmStep()
    cluster.validate_settings(1, 1)
    assert (cluster.world_size(), cluster.main_address) == (8, "a4")
    strategies = OrderedDDPStrategy(), ShardedStrategy(8, timedelta(seconds=60))
    for strategy, (count, device) in itertools.product(
        strategies, [(1, "cuda:0"), (8, "cuda:5")]
    ):
        strategy.parallel_devices = [torch.device("cuda", n) for n in range(count)]
        strategy.cluster_environment = cluster
        assert str(strategy.root_device) == device
