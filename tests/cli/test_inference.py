"""`--workers` and `--precision` override what the run's recipe says."""

from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from r2mae.cli.inference import chosen_inference
from r2mae.evaluation.inference import current
from r2mae.schema.recipe import HardwareSection


@pytest.mark.parametrize("emulated", [False, True])
@pytest.mark.parametrize("precision", [None, "32-true", "bf16-mixed"])
def test_options_override_the_recipe(monkeypatch, capsys, precision, emulated):
    monkeypatch.setattr("r2mae.recipe.device.emulates_bf16", lambda: emulated)
    hardware = HardwareSection(precision="bf16-mixed", workers=1)
    loaded = SimpleNamespace(
        recipe=SimpleNamespace(hardware=hardware),
        folder=SimpleNamespace(path=Path("runs/x")),
        device=torch.device("cpu"),
    )
    for workers in (None, 0, 3):
        with chosen_inference(loaded, Namespace(workers=workers, precision=precision)):
            settings = current.get()
            assert settings.workers == (1 if workers is None else workers)
            assert settings.precision_on("cuda") == (precision or "bf16-mixed")
            assert settings.precision_on("cpu") == (precision or "32-true")
    lines = capsys.readouterr().err.splitlines()
    if emulated and precision == "bf16-mixed":
        text = "bf16-mixed is emulated on this CPU: --precision 32-true is faster"
        assert lines == [f"runs/x: {text}"] * 3
    else:
        assert lines == []
