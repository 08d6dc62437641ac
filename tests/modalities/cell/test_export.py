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
from transformers import AutoModel, AutoModelForSequenceClassification

import r2mae
from r2mae.errors import InputError
from r2mae.modalities.cell.configuration_cell import CellMLPConfig
from r2mae.modalities.cell.modeling_cell_classifier import (
    CellMLPForSequenceClassification,
)
from tests.interop.encoders import load_encoder, load_tuned

LOAD = """import sys
sys.modules["r2mae"] = None  # importing it fails
import anndata, numpy
from transformers import AutoModel
for name in ("mlp", "transformer"):
    model = AutoModel.from_pretrained(f"{name}/out", trust_remote_code=True)
    inputs = model.encode(anndata.read_h5ad(f"{name}.h5ad"))
    numpy.save(f"{name}.npy", model(**inputs).pooler_output.detach().numpy())
"""
LOAD_CLASSIFIERS = """import sys
sys.modules["r2mae"] = None  # importing it fails
import anndata, numpy
from transformers import AutoModelForSequenceClassification
for name in ("mlp", "transformer"):
    model = AutoModelForSequenceClassification.from_pretrained(
        f"{name}/out", trust_remote_code=True
    )
    inputs = model.encode(anndata.read_h5ad(f"{name}.h5ad"))
    numpy.save(f"{name}.npy", model(**inputs).logits.detach().numpy())
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"}
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


def test_autocast_rounds_neither_sizes_nor_completed_genes(tmp_path):
    loaded, out = export("cell MLP", tmp_path)
    r2mae.register_with_transformers()
    encoder = AutoModel.from_pretrained(out)
    values = torch.from_numpy(make_cells(loaded).X.toarray()[:, :40]).float()
    measured = torch.arange(40).expand_as(values) % 3 > 0

    def inputs():
        logs = encoder.normalize(values, measured)
        return logs, *encoder.completion(logs, measured)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = inputs()
    for under_autocast, exact in zip(rounded, inputs(), strict=True):
        assert torch.equal(under_autocast, exact)


def test_encoders_load_without_r2mae(tmp_path):
    runs = {}
    for name in ("mlp", "transformer"):
        encoder = {"mlp": "cell MLP"}.get(name, "cell transformer")
        loaded, out = export(encoder, tmp_path / name)
        cells = make_cells(loaded, missing=5 if name == "mlp" else 0)
        cells.write_h5ad(tmp_path / f"{name}.h5ad")
        runs[name] = loaded, cells
        files = {path.name for path in out.iterdir()}
        code = {"modeling_cell.py", "configuration_cell.py", "cell_input.py"}
        assert files == code | {"config.json", "model.safetensors", "genes.txt"}
        genes = (out / "genes.txt").read_text().splitlines()
        assert genes == loaded.manifest["genes"]
    run_without_r2mae(LOAD, tmp_path)
    for name, (loaded, cells) in runs.items():
        features = np.load(tmp_path / f"{name}.npy")
        assert differ(features, loaded.embed(cells)) <= 1e-6


def run_without_r2mae(code, folder):
    environment = os.environ | {"HF_HOME": str(folder / "hub"), "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


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


def test_components_beside_the_features_are_those_of_embed(tmp_path):
    loaded, out = export("cell MLP", tmp_path)
    r2mae.register_with_transformers()
    model = AutoModel.from_pretrained(out, pooling="concat")
    cells, partial = make_cells(loaded), make_cells(loaded, missing=7)
    expected = loaded.embed(cells, pool="concat")
    assert expected.shape[1] > loaded.embed(cells).shape[1]
    assert differ(features_of(model, cells), expected) <= 1e-6
    with pytest.warns(UserWarning, match="7 of the"):
        expected = loaded.embed(partial, pool="concat")
    with pytest.warns(UserWarning, match="7 of the"):
        features = features_of(model, partial)
    assert differ(features, expected) <= 1e-6


@pytest.mark.parametrize(
    ("pooling", "components"), [("cls", 3), ("nonsense", 3), ("concat", 0)]
)
def test_poolings_that_an_mlp_lacks_are_refused(pooling, components):
    with pytest.raises(ValueError, match="pooling must be one of .*'mean'"):
        CellMLPConfig(components=components, pooling=pooling)


def test_a_classifier_reads_the_features_alone():
    config = CellMLPConfig(genes=("a", "b"), components=1, pooling="concat")
    with pytest.raises(ValueError, match="pooling must be mean for a classifier"):
        CellMLPForSequenceClassification(config)


def export_tuned(name, folder, target, more=(), units=None):
    loaded = load_tuned(name, folder, target, more, units)
    out = folder / "out"
    out.mkdir()
    difference = loaded.wing.export_targets["transformers"].write(loaded, out)
    assert difference <= 1e-6 * (1 if units is None else units["mean"])
    return loaded, out


def logits_of(loaded, cells):
    with torch.no_grad():
        return loaded.model(loaded.prepare(cells)).numpy()


def test_classifiers_load_without_r2mae(tmp_path):
    runs = {}
    for name in ("mlp", "transformer"):
        encoder = {"mlp": "cell MLP"}.get(name, "cell transformer")
        loaded, out = export_tuned(encoder, tmp_path / name, "classes")
        cells = make_cells(loaded, missing=5 if name == "mlp" else 0)
        cells.write_h5ad(tmp_path / f"{name}.h5ad")
        runs[name] = logits_of(loaded, cells)
        files = {path.name for path in out.iterdir()}
        code = {"modeling_cell_classifier.py", "modeling_cell.py"}
        code |= {"configuration_cell.py", "cell_input.py"}
        assert files == code | {"config.json", "model.safetensors", "genes.txt"}
    run_without_r2mae(LOAD_CLASSIFIERS, tmp_path)
    for name, expected in runs.items():
        assert differ(np.load(tmp_path / f"{name}.npy"), expected) <= 1e-6
        assert np.ptp(expected, axis=0).min() > 1e-3


@pytest.mark.parametrize("encoder", ["cell MLP", "cell transformer"])
@pytest.mark.parametrize(
    ("target", "problem", "loss"),
    [
        ("classes", "single_label_classification", torch.nn.functional.cross_entropy),
        (
            "multi_label",
            "multi_label_classification",
            torch.nn.functional.binary_cross_entropy_with_logits,
        ),
        ("regression", "regression", torch.nn.functional.mse_loss),
    ],
)
def test_a_classifier_gives_the_runs_logits_and_a_loss(
    encoder, target, problem, loss, tmp_path
):
    units = {"mean": 5.0, "spread": 3.0} if target == "regression" else None
    more = ("tune.hidden=6", "tune.dropout=0.5")
    loaded, out = export_tuned(encoder, tmp_path, target, more, units)
    r2mae.register_with_transformers()
    model = AutoModelForSequenceClassification.from_pretrained(out)
    assert type(model).__module__ == "r2mae.modalities.cell.modeling_cell_classifier"
    assert model.config.problem_type == problem
    cells = make_cells(loaded)
    expected = logits_of(loaded, cells)
    if units is not None:
        expected = expected * 3 + 5
    labels = {
        "classes": torch.arange(len(cells)) % 3,
        "multi_label": (torch.arange(3 * len(cells)) % 2).reshape(-1, 3).float(),
        "regression": torch.arange(len(cells)).float(),
    }[target]
    with torch.no_grad():
        output = model(**model.encode(cells), labels=labels)
    assert differ(output.logits.numpy(), expected) <= 1e-6
    logits = torch.from_numpy(expected)
    direct = loss(logits.squeeze(1) if target == "regression" else logits, labels)
    assert float(output.loss) == pytest.approx(float(direct), rel=1e-5)


def test_ordered_classes_are_refused_in_one_line(tmp_path):
    loaded = load_tuned("cell MLP", tmp_path, "ordinal")
    with pytest.raises(
        InputError, match="must not be ordinal.*Use --to onnx"
    ) as refusal:
        loaded.wing.export_targets["transformers"].write(loaded, tmp_path)
    assert "\n" not in str(refusal.value)
