import numpy as np
import pytest
import torch

from r2mae.errors import InputError
from r2mae.evaluation.features import extract, extract_labelled
from r2mae.recipe import build_model, open_split
from r2mae.schema.recipe import load_recipe
from tests.conftest import DEMO


@pytest.fixture(scope="module")
def parts():
    recipe = load_recipe(str(DEMO))
    return build_model(recipe), open_split(recipe, "test")


def test_rows_follow_the_data_whatever_the_batch(parts):
    model, source = parts
    small, large = extract(model, source, batch_size=7), extract(model, source, batch_size=256)
    assert small.shape == (360, 64)
    np.testing.assert_allclose(small, large, atol=1e-5)
    batch = source.load(torch.tensor([17]), None, 0)
    np.testing.assert_allclose(small[17], model.embed(batch)[0].detach(), atol=1e-5)


def test_baseline_is_the_input(parts):
    model, source = parts
    features = extract(model, source, kind="baseline", rows=np.arange(5))
    pixels = source.load(torch.arange(5), None, 0)["images"].flatten(1).numpy() / 255
    np.testing.assert_allclose(features, (pixels - 0.287) / 0.353, atol=1e-5)


def test_progress_reaches_the_end_and_training_mode_comes_back(parts):
    model, source = parts
    seen = []
    model.train()
    extract(model, source, batch_size=100, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(100, 360), (200, 360), (300, 360), (360, 360)]
    assert model.training


def test_labels_are_needed(parts):
    model, source = parts
    assert len(extract_labelled(model, source, np.arange(9)).labels) == 9

    class Unlabelled:
        labels = None

    with pytest.raises(InputError, match="must have labels"):
        extract_labelled(model, Unlabelled())
