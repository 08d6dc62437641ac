"""`--to transformers` of cells: loads with and without r2mae, and gives what `embed` gives."""

import os
import subprocess
import sys

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from transformers import AutoModel

import r2mae
from r2mae.errors import InputError
from r2mae.models.classifier import Classifier
from tests.interop.encoders import load_encoder

LOAD = """import sys
sys.modules["r2mae"] = None  # importing it fails
import anndata, numpy
from transformers import AutoModel
for name in ("mlp", "transformer"):
    model = AutoModel.from_pretrained(f"{name}/out", trust_remote_code=True)
    inputs = model.encode(anndata.read_h5ad(f"{name}.h5ad"))
    numpy.save(f"{name}.npy", model(**inputs).pooler_output.detach().numpy())
"""
MLP = "model={encoder: mlp, width: 8, depth: 1, hidden: 16, components: "
OPTIONS = {
    "completion": ("cell MLP", ()),
    "no completion": ("cell MLP", (f"{MLP}0}}",)),
    "no layers, dropout": ("cell MLP", (f"{MLP}3, dropout: 0.5}}", "model.depth=0")),
    "scaled": (
        "cell MLP",
        ("data.values=scaled", "model.likelihood=mse", f"{MLP}4, likelihood: mse}}"),
    ),
    "transformer": ("cell transformer", ()),
    "no blocks": ("cell transformer", ("model.depth=0",)),
    "deep, dropout": (
        "cell transformer",
        ("model.depth=3", "model.heads=4", "model.dropout=0.5"),
    ),
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def export(name, folder, more=()):
    """(the run with random instead of initial weights, the folder)."""
    loaded = load_encoder(name, folder, more)
    draw = torch.Generator().manual_seed(0)
    for parameter in loaded.model.parameters():
        noise = torch.randn(parameter.shape, generator=draw)
        parameter.data += 0.1 * noise
    out = folder / "out"
    out.mkdir()
    assert loaded.wing.export_targets["transformers"].write(loaded, out) <= 1e-6
    return loaded, out


def make_cells(loaded, *, missing=0, num_cells=20):
    """Cells whose genes are in another order, without the first `missing`, beside others."""
    draw = np.random.default_rng(0)
    genes = [*loaded.manifest["genes"][missing:], "other"][::-1]
    if loaded.recipe.data.values == "scaled":
        matrix = draw.normal(size=(num_cells, len(genes))).astype(np.float32)
    else:
        matrix = sparse.csr_matrix(draw.poisson(1.0, (num_cells, len(genes))) * 1.0)
    return anndata.AnnData(matrix, var=pd.DataFrame(index=genes))


def differ(features, expected):
    """The largest difference, relative to the largest feature where that is above 1."""
    return np.abs(features - expected).max() / max(1, np.abs(expected).max())


def features_of(model, cells):
    with torch.no_grad():
        return model(**model.encode(cells)).pooler_output.numpy()


@pytest.mark.parametrize("option", OPTIONS)
def test_automodel_gives_what_embed_gives(option, tmp_path):
    name, more = OPTIONS[option]
    loaded, out = export(name, tmp_path, more)
    r2mae.register_with_transformers()
    model = AutoModel.from_pretrained(out)  # no remote code
    assert type(model).__module__ == "r2mae.modalities.cell.modeling_cell"
    complete = make_cells(loaded)
    expected = loaded.embed(complete)
    assert differ(features_of(model, complete), expected) <= 1e-6
    partial = make_cells(loaded, missing=7)
    with pytest.warns(UserWarning, match="7 of the model's 40 genes"):
        features = features_of(model, partial)
    with pytest.warns(UserWarning, match="7 of the run's 40 genes"):
        expected_partial = loaded.embed(partial)
    assert differ(features, expected_partial) <= 1e-6
    if option != "no blocks":  # where the cell's token has seen no gene
        assert expected.std(axis=0).min() > 1e-3


def test_encoders_load_without_r2mae(tmp_path):
    runs = {}
    for name in ("mlp", "transformer"):
        encoder = {"mlp": "cell MLP"}.get(name, "cell transformer")
        loaded, out = export(encoder, tmp_path / name)
        cells = make_cells(loaded, missing=5 if name == "mlp" else 0)
        cells.write_h5ad(tmp_path / f"{name}.h5ad")
        runs[name] = loaded, cells
        files = {path.name for path in out.iterdir()}
        code = {"modeling_cell.py", "cell_input.py"}
        assert files == code | {"config.json", "model.safetensors", "genes.txt"}
        genes = (out / "genes.txt").read_text().splitlines()
        assert genes == loaded.manifest["genes"]
    environment = os.environ | {"HF_HOME": str(tmp_path / "hub"), "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for name, (loaded, cells) in runs.items():
        features = np.load(tmp_path / f"{name}.npy")
        assert differ(features, loaded.embed(cells)) <= 1e-6


def test_mean_pooling_is_that_of_embed(tmp_path):
    loaded, out = export("cell transformer", tmp_path)
    r2mae.register_with_transformers()
    model = AutoModel.from_pretrained(out, pooling="mean")
    cells = make_cells(loaded)
    expected = loaded.embed(cells, pool="mean")
    assert differ(features_of(model, cells), expected) <= 1e-6
    with torch.no_grad():
        tokens = model(**model.encode(cells)).last_hidden_state.numpy()
    for row, ours in zip(tokens, loaded.embed_tokens(cells), strict=True):
        # Ours are in the order of the AnnData's genes.
        np.testing.assert_allclose(row.sum(axis=0), ours.sum(axis=0), atol=1e-4)
        assert row[: len(ours)].any(axis=1).all()
        assert not row[len(ours) :].any()


def test_a_fine_tuned_run_is_refused(tmp_path):
    loaded = load_encoder("cell MLP", tmp_path)
    manifest = loaded.manifest | {"classes": [0, 1]}
    model = Classifier(loaded.model, 2)
    tuned = type(loaded)(loaded.wing, None, loaded.recipe, manifest, model)
    with pytest.raises(InputError, match="Use --to onnx"):
        loaded.wing.export_targets["transformers"].write(tuned, tmp_path)
