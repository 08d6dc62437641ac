"""`--to transformers` of DNA convolutions: loads where r2mae is absent, and gives what `embed` gives."""

import os
import subprocess
import sys

import numpy as np

from tests.interop.encoders import load_encoder

LOAD = """import sys
sys.modules["r2mae"] = None  # importing it fails
import numpy
from transformers import AutoModel
model = AutoModel.from_pretrained("out", trust_remote_code=True).eval()
output = model(model.encode(["ACGTTGCANACGGT", "ggauuaca"])).pooler_output
numpy.save("features.npy", output.detach().numpy())
"""


def test_convolutions_load_without_r2mae(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    loaded = load_encoder("DNA convolutions", tmp_path)
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
