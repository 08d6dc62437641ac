"""Token values of recipes: numbers as they are, categories as numeric features."""

import numpy as np
import pytest

from r2mae.advice.categories import window_features
from r2mae.advice.recipe_data import read_token_values
from r2mae.errors import InputError
from r2mae.modalities import find_wing
from r2mae.recipe.assembly import open_training_data, read_tokens
from r2mae.recipe.load import load_recipe
from tests.conftest import DEMO, ROOT, TINY


def test_numbers_are_those_of_training_without_the_held_out_ones(scratch):
    recipe = load_recipe(str(DEMO), list(TINY))
    tokens, num_rows = read_token_values(recipe)
    train, held_out = open_training_data(recipe)
    assert num_rows == len(train)
    assert len(held_out) > 0
    # 8 x 8 pixels in patches of 2 x 2.
    assert tokens.shape == (len(train), 16, 4)
    assert tokens.std() > 0


@pytest.fixture
def genome(scratch):
    path = str(ROOT / "recipes/dna/motifs_demo.yaml")
    recipe = load_recipe(path, [])
    settings = find_wing("dna").stand_in(recipe, scratch)
    return path, settings


def test_categories_become_features(genome):
    path, settings = genome
    recipe = load_recipe(path, settings)
    ids, num_ids = read_tokens(recipe)
    assert ids.ndim == 2
    tokens, num_rows = read_token_values(recipe)
    expected, expected_rows = window_features(ids, num_ids)
    np.testing.assert_array_equal(tokens, expected)
    assert num_rows == expected_rows
    assert np.issubdtype(tokens.dtype, np.floating)


def test_missing_data_is_one_line(genome):
    path, settings = genome
    recipe = load_recipe(path, [*settings, "data.root=absent.fa"])
    with pytest.raises(InputError, match=r"absent\.fa") as refusal:
        read_token_values(recipe)
    assert "\n" not in str(refusal.value)
