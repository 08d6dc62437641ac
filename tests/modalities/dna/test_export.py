"""`--to transformers` of DNA convolutions: loads where r2mae is absent, and gives what `embed` gives."""

import os
import subprocess
import sys

import numpy as np
import pytest
from transformers import AutoModel

import r2mae
from r2mae.errors import InputError
from r2mae.modalities.dna.modeling_dna_conv import DnaConvModel
from tests.interop.encoders import load_encoder

LOAD = """import sys
sys.modules["r2mae"] = None  # importing it fails
import numpy
from transformers import AutoModel
model = AutoModel.from_pretrained("out", trust_remote_code=True).eval()
output = model(model.encode(["ACGTTGCANACGGT", "ggauuaca"])).pooler_output
numpy.save("features.npy", output.detach().numpy())
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["DNA convolutions", "equivariant DNA convolutions"])
def test_convolutions_load_without_r2mae(tmp_path, name):
    loaded = load_encoder(name, tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    assert loaded.wing.export_targets["transformers"].write(loaded, out) <= 1e-6
    environment = os.environ | {"HF_HOME": str(tmp_path / "hub"), "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
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


@pytest.mark.parametrize("sequences", ["ACGT", [], ["ACGT", ""]])
def test_encode_refuses_what_is_no_list_of_sequences(sequences):
    with pytest.raises(ValueError, match="must be a list of texts, none empty"):
        DnaConvModel.encode(sequences)


def test_a_run_on_an_alignment_is_refused(tmp_path):
    loaded = load_encoder("alignment convolutions", tmp_path)
    with pytest.raises(InputError, match="Use --to onnx"):
        loaded.wing.export_targets["transformers"].write(loaded, tmp_path)
