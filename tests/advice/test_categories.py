import numpy as np
import pytest

from r2mae.advice.categories import category_features, window_features
from r2mae.errors import InputError
from r2mae.recipe.assembly import read_tokens
from r2mae.recipe.load import load_recipe


def chains(rows, length, persistence, seed=0):
    """Two-state Markov chains whose correlation at lag k is persistence ** k."""
    rng = np.random.default_rng(seed)
    flips = rng.random((rows, length)) > (1 + persistence) / 2
    flips[:, 0] = rng.random(rows) > 0.5
    return flips.cumsum(axis=1) % 2


def test_two_categories_correlate_like_their_markov_chain():
    features, total = window_features(chains(200, 400, 0.6), 200)
    assert features.shape == (200, 400, 1)
    assert total == 200
    series = features[:, :, 0]
    assert series.mean() == pytest.approx(0, abs=0.02)
    assert series.var() == pytest.approx(1, abs=0.02)
    for lag in (1, 2):
        together = (series[:, :-lag] * series[:, lag:]).mean()
        assert together == pytest.approx(0.6**lag, abs=0.02)


def test_categories_with_the_same_neighbours_get_the_same_features():
    """7 and 9 are names of one state of the chain."""
    ids = np.where(chains(300, 100, 0.7) == 1, 3, 7)
    is_renamed = np.random.default_rng(1).random(ids.shape) < 0.5
    ids = np.where((ids == 7) & is_renamed, 9, ids)
    table, codes = category_features(ids)
    assert set(np.unique(codes)) == {0, 1, 2}
    assert table[1, 0] == pytest.approx(table[2, 0], abs=0.05)
    assert table[0, 0] * table[1, 0] < 0


def test_rows_are_cut_into_windows_and_positions_never_masked_are_zero():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 4, (50, 300))
    ids[:, 7] = -1
    ids[10:, 133:] = -1  # padding: half of a window is too little
    features, total = window_features(ids, 500)
    assert features.shape == (60, 133, 3)  # 3 contrasts of 4 bases
    assert total == 600
    assert not features[0, 7].any()


def test_sequences_too_short_or_constant_are_one_line():
    with pytest.raises(InputError, match="at least 20 windows"):
        window_features(np.arange(30).reshape(3, 10) % 4, 3)
    with pytest.raises(InputError, match="2 different tokens, got 1"):
        window_features(np.zeros((30, 10), dtype=np.int64), 30)


@pytest.mark.parametrize(
    ("recipe", "categories"), [("topics_demo", 100), ("motifs_demo", 4)]
)
def test_recipes_of_texts_and_dna_give_ids(recipe, categories):
    ids, samples = read_tokens(load_recipe(recipe))
    assert ids.ndim == 2
    assert ids.min() >= -1
    assert len(np.unique(ids[ids >= 0])) >= categories
    assert samples >= len(ids)
