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
    "mask.scope=step",
    "mask.weight=token",
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
    """A working folder of its own: runs/ appears there, and so does the cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def make_cells(num_cells, num_genes, *, scaled=False, seed=0):
    """An AnnData of two kinds of cells, each with genes of its own; no cell is empty."""
    import anndata
    import numpy as np
    import pandas as pd
    from scipy import sparse

    draw = np.random.default_rng(seed)
    kinds = np.arange(num_cells) % 2
    rates = np.where((np.arange(num_genes) % 2)[None] == kinds[:, None], 2.0, 0.3)
    counts = draw.poisson(rates).astype(np.float32)
    counts[:, 0] += 1
    matrix = (
        draw.normal(size=counts.shape).astype(np.float32) + counts
        if scaled
        else sparse.csr_matrix(counts)
    )
    obs = pd.DataFrame(
        {
            "kind": pd.Categorical(np.array(["T", "B"])[kinds]),
            "donor": pd.Categorical([f"d{n % 3}" for n in range(num_cells)]),
        },
        index=[f"cell_{n}" for n in range(num_cells)],
    )
    return anndata.AnnData(
        matrix, obs=obs, var=pd.DataFrame(index=[f"gene_{n}" for n in range(num_genes)])
    )


def open_stand_in(name, folder, *overrides):
    """(recipe, its training samples, those held out) of a recipe's stand-in data."""
    from r2mae.modalities import find_wing
    from r2mae.recipe.assembly import open_training_data
    from r2mae.recipe.load import load_recipe

    path = str(next((ROOT / "recipes").rglob(f"{name}.yaml")))
    settings = ["model.init_from=null", *overrides]
    recipe = load_recipe(path, settings)
    data = folder / "data"
    data.mkdir()
    files = find_wing(recipe.modality).stand_in(recipe, data)
    recipe = load_recipe(path, [*settings, *files])
    return recipe, *open_training_data(recipe)


def make_texts(number):
    """Sentences of a small grammar, of which words tell about words."""
    animals, verbs, places = (
        ("cat", "dog", "bird"),
        ("sat", "slept", "sang"),
        ("mat", "roof", "tree"),
    )
    return [
        f"The {animals[n % 3]} number {n} {verbs[n % 3]} on the {places[n % 3]}, as the {animals[n % 3]} always does."
        for n in range(number)
    ]


def r2mae(*arguments, cwd=None, timeout=800, check=None, **environment):
    """The console script in a fresh process; check=0 asserts the exit code and shows stderr if it differs."""
    command = [str(Path(sys.executable).with_name("r2mae")), *map(str, arguments)]
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if check is not None:
        assert done.returncode == check, done.stderr
    return done


# Files of minutes, slowest first, those that mostly wait beside those that compute.
SLOW = (
    "tests/cli/test_verify_resume.py",
    "tests/recipes/test_mutations.py",
    "tests/distributed/test_dead_ranks.py",
    "tests/recipe/test_rehearse.py",
    "tests/distributed/",
    "tests/cli/test_finetune.py",
    "tests/studies/",
    "tests/faults/",
    "tests/modalities/dna/variants/",
    "tests/training/test_wandb.py",
    "tests/test_wheel.py",
)


def pytest_collection_modifyitems(items):
    """Slow files first: one that starts last would leave the other worker idle.

    `--no-loadscope-reorder` keeps this order; by itself, `--dist loadfile` starts
    files of few tests last, and the slowest are among them.
    """

    def place(item):
        slow = (n for n, name in enumerate(SLOW) if item.nodeid.startswith(name))
        return next(slow, len(SLOW))

    items.sort(key=place)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Test processes share two cores: one thread each computes faster than two that wait for each other.

    Set before every test, and before its fixtures train: scanpy's neighbour search sets the
    threads of the whole process, and with another number results differ in their last bits.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
