"""`--profile`: a page and a trace of the steps it names."""

import gzip
import json
import os

import pytest
import torch

from r2mae.cli.main import main
from r2mae.training.collectives import dump_collectives
from r2mae.training.run_folder import RunFolder
from tests.conftest import DEMO, overrides
from tests.training.runs import metric, prepare


@pytest.mark.parametrize(
    ("steps", "profiled", "first", "last"), [(12, 3, 6, 8), (4, 9, 2, 4)]
)
def test_a_page_and_a_trace(scratch, capsys, steps, profiled, first, last):
    settings = overrides(f"schedule.steps={steps}", "watch.every_steps=20")
    command = ["pretrain", str(DEMO), *settings, "--name", "run"]
    assert main([*command, "--profile", str(profiled)]) == 0
    folder = RunFolder("runs/run")
    page = (folder.path / "profile.txt").read_text()
    assert f"steps {first} to {last} on cpu, rank 0 of 1" in page
    assert "waiting for data" in page
    assert "aten::addmm" in page
    assert len(page.splitlines()) < 60
    with gzip.open(folder.path / "profile_trace.json.gz", "rt") as trace:
        events = json.load(trace)["traceEvents"]
    recorded = [e for e in events if str(e.get("name")).startswith("ProfilerStep#")]
    assert len({event["name"] for event in recorded}) == last - first + 1
    assert "Optimizer.step#AdamW.step" in {event.get("name") for event in events}
    assert f"profile of steps {first} to {last}" in capsys.readouterr().err
    assert max(metric(folder, "train/loss")) == steps  # training went on


@pytest.mark.parametrize(("tf32", "precision"), [(True, "high"), (False, "highest")])
def test_tf32_is_a_choice_of_the_recipe(scratch, tf32, precision):
    before = torch.get_float32_matmul_precision()
    try:
        prepare("run", f"hardware.tf32={str(tf32).lower()}")
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)


def test_ranks_write_their_last_collectives_to_the_run_folder(scratch, monkeypatch):
    for name in [name for name in os.environ if name.startswith("TORCH_FR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TORCH_FR_BUFFER_SIZE", "50")
    # Recorded, so that the test leaves the environment as it was.
    monkeypatch.setenv("TORCH_FR_DUMP_ON_TIMEOUT", "1")
    monkeypatch.setenv("TORCH_FR_DUMP_TEMP_FILE", "x")
    monkeypatch.delenv("TORCH_FR_DUMP_TEMP_FILE")
    dump_collectives(RunFolder("runs/run").path)
    assert os.environ["TORCH_FR_BUFFER_SIZE"] == "50"  # the user's choice
    expected = str(scratch / "runs" / "run" / "nccl_rank_")
    assert os.environ["TORCH_FR_DUMP_TEMP_FILE"] == expected
