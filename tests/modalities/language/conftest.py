"""What the tests of texts share: a module trains once, in a folder of its own, by its fixture `trained`."""

import pytest

from r2mae.data.tokenizer import load_tokenizer


@pytest.fixture
def here(trained, monkeypatch):
    """The folder of the module's `trained`, as the working directory."""
    load_tokenizer.cache_clear()  # it is keyed by paths relative to the folder
    monkeypatch.chdir(trained)
    monkeypatch.setenv("XDG_CACHE_HOME", str(trained / "cache"))
    return trained
