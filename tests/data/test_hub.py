"""A path that is not there is refused without asking the hub for a model of its name."""

import pytest

from r2mae.data.hub import check_source, is_local
from r2mae.errors import InputError


@pytest.fixture
def asked(monkeypatch):
    """Ids that the hub is asked for; it has none."""
    ids = []

    def model_info(_, source, **options):
        del options
        ids.append(source)
        raise OSError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    return ids


@pytest.mark.parametrize(
    "source",
    ["runs/a", "./a", "../a", "/a", "~/a", "a/b/c", "models/bert", ".cache/a"],
)
def test_a_path_that_is_not_there_is_refused_here(scratch, asked, source):
    (scratch / "models").mkdir()
    assert is_local(source)
    with pytest.raises(InputError) as error:
        check_source(source, "data.tokenizer")
    assert str(error.value).startswith(f"data.tokenizer must exist, got {source!r}.")
    assert str(error.value).endswith("give a run, another folder or a hub id.")
    is_taken_for_one = "as there is a folder models here" in str(error.value)
    assert is_taken_for_one == (source == "models/bert")
    assert not asked


@pytest.mark.parametrize("source", ["bert-base-uncased", "google/bert"])
def test_other_names_are_those_of_the_hub(scratch, asked, source):
    assert not is_local(source)
    with pytest.raises(InputError, match="or a hub id that can be had"):
        check_source(source, "model.init_from")
    assert asked == [source]
    (scratch / "models").mkdir()
    assert not is_local(source)


def test_a_cached_model_is_no_path(scratch, asked, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(scratch / "hub"))
    (scratch / "google").mkdir()
    assert is_local("google/bert")
    (scratch / "hub/models--google--bert").mkdir(parents=True)
    assert not is_local("google/bert")
    check_source("google/bert", "model.init_from")
    assert not asked
