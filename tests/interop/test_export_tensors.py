"""`--to onnx` and `--to torch_export`: the outputs of every encoder, and what docs/export.md says."""

import json
import re

import numpy as np
import pytest
import torch

from r2mae.models.classifier import Classifier
from tests.conftest import ROOT
from tests.interop.encoders import (
    ENCODERS,
    REGRESSIONS,
    load_encoder,
    load_regression,
)

PAGE = ROOT / "docs" / "export.md"
TARGETS = ("onnx", "torch_export")
# A conversion costs seconds: only masked attention, convolutions, a linear solver, and
# what --to transformers refuses and sends here.
IN_ONNX = (
    "DNA convolutions",
    "alignment convolutions",
    "cell MLP",
    "cell transformer",
)
TOLERANCE = {"onnx": 1e-4, "torch_export": 1e-6}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def documented():
    """{(encoder, target): largest difference} of the table in docs/export.md."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(), re.M)
    return {
        (name.strip(), target): float(value)
        for name, *values in rows
        if name.strip() in ENCODERS
        for target, value in zip(TARGETS, values, strict=True)
    }


def test_the_page_lists_every_encoder_and_target():
    table = documented()
    assert set(table) == {(name, target) for name in ENCODERS for target in TARGETS}
    for (_, target), difference in table.items():
        assert difference <= TOLERANCE[target]


def export(name, target, folder):
    loaded = load_encoder(name, folder)
    out = folder / "out"
    out.mkdir()
    return loaded, out, loaded.wing.export_targets[target].write(loaded, out)


@pytest.mark.parametrize("name", ENCODERS)
def test_torch_export_gives_what_embed_gives(name, tmp_path):
    _, out, difference = export(name, "torch_export", tmp_path)
    assert difference <= 1e-6
    written = json.loads((out / "inputs.json").read_text())
    assert all(given["shape"][0] == "batch" for given in written["inputs"])
    assert [given["name"] for given in written["outputs"]] == ["features"]


@pytest.mark.parametrize("name", IN_ONNX)
def test_onnx_gives_what_embed_gives(name, tmp_path):
    loaded, out, difference = export(name, "onnx", tmp_path)
    assert difference <= 1e-4
    import onnxruntime

    session = onnxruntime.InferenceSession(str(out / "model.onnx"))
    written = json.loads((out / "inputs.json").read_text())
    for given, ours in zip(session.get_inputs(), written["inputs"], strict=True):
        assert given.name == ours["name"]
        # Names of axes are those of inputs.json alone.
        for size, expected in zip(given.shape, ours["shape"], strict=True):
            assert isinstance(size, str) == isinstance(expected, str)
            assert isinstance(size, str) or size == expected
    inference = loaded.wing.inference(loaded)
    five = {
        given.name: np.concatenate([tensor.numpy()] * 3)[:5]
        for given, tensor in zip(
            inference.inputs, inference.arguments(inference.batch), strict=True
        )
    }
    (features,) = session.run(["features"], five)
    with torch.no_grad():
        expected = loaded.model.embed(inference.batch)[0].numpy()
    assert np.abs(features[0] - expected).max() < 1e-4
    assert len(features) == 5


def test_a_classifier_has_features_and_logits(tmp_path):
    loaded = load_encoder("ViT", tmp_path)
    torch.manual_seed(0)
    model = Classifier(loaded.model, 3).eval()
    loaded = type(loaded)(
        loaded.wing,
        None,
        loaded.recipe,
        {"class_names": ["a", "b", "c"], "classes": [0, 1, 2]},
        model,
    )
    (tmp_path / "out").mkdir()
    write = loaded.wing.export_targets["torch_export"].write
    assert write(loaded, tmp_path / "out") <= 1e-6
    program = torch.export.load(tmp_path / "out" / "model.pt2").module()
    batch = {"images": torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)}
    with torch.no_grad():
        features, logits = program(batch["images"])
        torch.testing.assert_close(features, model.embed(batch), rtol=0, atol=1e-6)
        torch.testing.assert_close(logits, model(batch), rtol=0, atol=1e-6)
    written = json.loads((tmp_path / "out" / "inputs.json").read_text())
    assert written["classes"] == ["a", "b", "c"]
    assert written["outputs"][1]["shape"] == ["batch", 3]


@pytest.mark.parametrize("name", REGRESSIONS)
def test_a_regression_predicts_numbers_over_both_strands(name, tmp_path):
    loaded = load_regression(name, tmp_path, {"mean": 5.0, "spread": 3.0})
    torch.manual_seed(0)
    torch.nn.init.normal_(loaded.model.head[-1].weight)
    (tmp_path / "out").mkdir()
    write = loaded.wing.export_targets["onnx"].write
    assert write(loaded, tmp_path / "out") <= 1e-4
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    sequences = ["ACGTTGCANACGGTACGTTT", "GGATTACA"]
    batch = loaded.prepare(sequences)
    inference = loaded.wing.inference(loaded)
    arrays = {
        given.name: tensor.numpy()
        for given, tensor in zip(
            inference.inputs, inference.arguments(batch), strict=True
        )
    }
    features, numbers = session.run(None, arrays)
    with torch.no_grad():
        expected = loaded.model(batch).numpy() * 3 + 5
    assert np.abs(features - loaded.embed(sequences)).max() < 1e-4
    assert np.abs(numbers - expected).max() < 1e-4
    assert np.ptp(numbers) > 1e-2
    written = json.loads((tmp_path / "out" / "inputs.json").read_text())
    assert written["classes"] == []
    assert written["outputs"][1]["meaning"] == "predicted number"
