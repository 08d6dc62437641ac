"""What tests share: a tiny recipe, runs in a scratch folder, and the command line as a user calls it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "recipes" / "vision" / "digits_demo.yaml"
SHARED = ROOT.parent / "shared" / "data"

# Small enough for a step in a few milliseconds; overrides of the demo recipe.
TINY = (
    "mask.ratio={uniform: {low: 0.3, high: 0.8}}",
    "optimizer.lr_per_256_samples=2.0e-3",
    "watch.every_steps=2",
    "checkpoint.every_steps=2",
    "model.width=16",
    "model.depth=2",
    "model.heads=2",
    "model.decoder_depth=1",
    "model.decoder_width=16",
    "model.decoder_heads=2",
    "batch.global_samples=16",
    "schedule.steps=20",
    "schedule.warmup_steps=2",
    "watch.samples=40",
    "watch.linear_probe=false",
    "watch.pictures=false",
)


def overrides(*more):
    """`--set` arguments of the tiny recipe."""
    return [part for setting in (*TINY, *more) for part in ("--set", setting)]


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """A working folder of its own: runs/ appears there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def r2mae(*arguments, cwd=None, timeout=240, check=None, **environment):
    """The console script in a fresh process; check=0 asserts the exit code and shows stderr if it differs."""
    command = [str(Path(sys.executable).with_name("r2mae")), *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=timeout
    )
    if check is not None:
        assert done.returncode == check, done.stderr
    return done


@pytest.fixture(scope="session", autouse=True)
def _quiet_threads():
    """Test processes share two cores: one thread each computes faster than two that wait for each other."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
