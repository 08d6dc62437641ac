"""`--to sentence-transformers`: what SentenceTransformer gives for texts is what `embed` gives."""

import numpy as np
import pytest

from tests.conftest import make_texts
from tests.interop.encoders import load_encoder


@pytest.mark.parametrize("name", ["ModernBERT", "RoBERTa"])
def test_sentence_transformers_gives_what_embed_gives(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    loaded = load_encoder(name, tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    write = loaded.wing.export_targets["sentence-transformers"].write
    assert write(loaded, out) <= 1e-6
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(out), device="cpu")
    assert model.max_seq_length == loaded.recipe.data.length
    texts = [*make_texts(3), "short", " ".join(make_texts(4))]  # the last one is cut
    features = model.encode(texts, show_progress_bar=False)
    assert np.abs(features - loaded.embed(texts)).max() <= 1e-6
    assert features.std() > 0.1
    assert not list(out.glob(".*"))
