"""`--to transformers` of DNA convolutions: loads where r2mae is absent, and gives what `embed` gives."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

import r2mae
from r2mae.errors import InputError
from r2mae.modalities.dna.modeling_dna_conv import DnaConvModel, reverse_complement
from tests.interop.encoders import load_encoder, load_tuned

LOAD = """import sys
sys.modules["r2mae"] = None  # importing it fails
import numpy
from transformers import AutoModel
model = AutoModel.from_pretrained("out", trust_remote_code=True).eval()
output = model(model.encode(["ACGTTGCANACGGT", "ggauuaca"])).pooler_output
numpy.save("features.npy", output.detach().numpy())
"""
LOAD_CLASSIFIER = """import sys
sys.modules["r2mae"] = None  # importing it fails
import numpy
from transformers import AutoModelForSequenceClassification
model = AutoModelForSequenceClassification.from_pretrained("out", trust_remote_code=True)
logits = model(model.encode(["ACGTTGCANACGGT", "ggauuaca"])).logits
numpy.save("logits.npy", logits.detach().numpy())
assert model.config.id2label == {0: "a", 1: "b", 2: "c"}
"""
SEQUENCES = ["ACGTTGCANACGGT", "GGATTACA"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["DNA convolutions", "equivariant DNA convolutions"])
def test_convolutions_load_without_r2mae(tmp_path, name):
    loaded = load_encoder(name, tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    assert loaded.wing.export_targets["transformers"].write(loaded, out) <= 1e-6
    run_without_r2mae(LOAD, tmp_path)
    features = np.load(tmp_path / "features.npy")
    expected = loaded.embed(["ACGTTGCANACGGT", "GGATTACA"])
    assert np.abs(features - expected).max() <= 1e-6
    names = {path.name for path in out.iterdir()}
    assert names == {"config.json", "model.safetensors", "modeling_dna_conv.py"}
    r2mae.register_with_transformers()
    model = AutoModel.from_pretrained(out)  # no remote code
    assert type(model).__module__ == "r2mae.modalities.dna.modeling_dna_conv"
    codes = model.encode(["ACGTTGCANACGGT", "GGATTACA"])
    features = model(codes).pooler_output.detach().numpy()
    assert np.abs(features - expected).max() <= 1e-6


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


def export_tuned(name, folder, target, more=(), units=None):
    """(the run, its logits of SEQUENCES, the folder)."""
    loaded = load_tuned(name, folder, target, more, units)
    out = folder / "out"
    out.mkdir()
    difference = loaded.wing.export_targets["transformers"].write(loaded, out)
    assert difference <= 1e-6 * (1 if units is None else units["mean"])
    with torch.no_grad():
        logits = loaded.model(loaded.prepare(SEQUENCES)).numpy()
    return loaded, logits, out


def test_a_classifier_loads_without_r2mae(tmp_path):
    _, expected, out = export_tuned("DNA convolutions", tmp_path, "classes")
    run_without_r2mae(LOAD_CLASSIFIER, tmp_path)
    logits = np.load(tmp_path / "logits.npy")
    assert np.abs(logits - expected).max() <= 1e-6
    assert np.ptp(expected, axis=0).min() > 1e-3
    names = {path.name for path in out.iterdir()}
    assert names == {"config.json", "model.safetensors", "modeling_dna_conv.py"}


@pytest.mark.parametrize("name", ["DNA convolutions", "equivariant DNA convolutions"])
@pytest.mark.parametrize("both_strands", [False, True])
@pytest.mark.parametrize("target", ["multi_label", "regression"])
def test_a_classifier_gives_the_runs_logits(name, both_strands, target, tmp_path):
    units = {"mean": 5.0, "spread": 3.0} if target == "regression" else None
    more = (f"data.both_strands={str(both_strands).lower()}", "tune.hidden=6")
    _, expected, out = export_tuned(name, tmp_path, target, more, units)
    r2mae.register_with_transformers()
    model = AutoModelForSequenceClassification.from_pretrained(out)
    assert type(model).__module__ == "r2mae.modalities.dna.modeling_dna_conv"
    problems = {"multi_label": "multi_label_classification"}
    assert model.config.problem_type == problems.get(target, target)
    with torch.no_grad():
        logits = model(model.encode(SEQUENCES)).logits.numpy()
    if units is not None:
        expected = expected * 3 + 5
    assert np.abs(logits - expected).max() <= 1e-6 * max(1, np.abs(expected).max())
    turned = model.encode([turn(sequence) for sequence in SEQUENCES])
    assert torch.equal(reverse_complement(model.encode(SEQUENCES)), turned)


def turn(sequence):
    return sequence.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def test_ordered_classes_are_refused(tmp_path):
    loaded = load_tuned("DNA convolutions", tmp_path, "ordinal")
    with pytest.raises(InputError, match="must not be ordinal.*Use --to onnx"):
        loaded.wing.export_targets["transformers"].write(loaded, tmp_path)


@pytest.mark.parametrize("sequences", ["ACGT", [], ["ACGT", ""]])
def test_encode_refuses_what_is_no_list_of_sequences(sequences):
    with pytest.raises(ValueError, match="must be a list of texts, none empty"):
        DnaConvModel.encode(sequences)


@pytest.mark.parametrize(("sequence", "letter"), [("ACGT\n", r"'\\n'"), ("MKL", "'L'")])
def test_encode_refuses_other_letters_as_embed_does(sequence, letter):
    """A line end would be one more N, and a protein a sequence of Ns."""
    with pytest.raises(ValueError, match=f"must hold IUPAC letters, got {letter}"):
        DnaConvModel.encode(["ACGT", sequence])
    assert DnaConvModel.encode(["acguryN"]).tolist() == [[0, 1, 2, 3, 4, 4, 4]]


def test_a_run_on_an_alignment_is_refused(tmp_path):
    loaded = load_encoder("alignment convolutions", tmp_path)
    with pytest.raises(InputError, match="Use --to onnx"):
        loaded.wing.export_targets["transformers"].write(loaded, tmp_path)
