import numpy as np
import pytest

from r2mae.advice.features import shrink, whiten_tokens
from r2mae.errors import InputError


def tokens(n=200, count=6, values=3, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, 1, 1))
    return shared + rng.standard_normal((n, count, values)) * [1.0, 2.0, 0.5]


def test_features_are_white_within_tokens():
    features = whiten_tokens(tokens())
    second = features.values.T @ features.values / len(features.values)
    same = features.tokens[:, None] == features.tokens
    assert second[same] == pytest.approx(np.eye(len(second))[same], abs=1e-10)
    assert np.abs(second[~same]).max() > 0.2


def test_fresh_masks_do_not_see_linear_maps_within_tokens():
    """The claim that lets features be whitened: risk of block masks before and after is the same."""
    from math import inf

    from r2mae.law import UniformRatio
    from r2mae.theory import excess_risk

    rng = np.random.default_rng(0)
    root = rng.standard_normal((12, 40))
    covariance, b, labels = (
        root @ root.T / 40,
        rng.standard_normal(12),
        np.arange(12) // 3,
    )
    change = np.zeros((12, 12))
    for token in range(4):
        change[3 * token : 3 * token + 3, 3 * token : 3 * token + 3] = (
            rng.standard_normal((3, 3))
        )
    options = {"masks_per_row": inf, "test_mask_ratio": 0.3, "tokens": labels}
    before = excess_risk(covariance, b, 0.2, 50, UniformRatio(0.1, 0.6), **options)
    mapped = change @ covariance @ change.T
    after = excess_risk(
        (mapped + mapped.T) / 2,
        np.linalg.solve(change.T, b),
        0.2,
        50,
        UniformRatio(0.1, 0.6),
        **options,
    )
    assert after == pytest.approx(before, rel=1e-6)


def test_shrinkage_is_judged_on_held_out_samples():
    assert shrink(whiten_tokens(tokens())).gain > 0.05
    alone = np.random.default_rng(0).standard_normal((200, 6, 1))
    found = shrink(whiten_tokens(alone))
    assert abs(found.gain) < 0.02
    assert found.shrinkage > 0.5
    assert np.diag(found.covariance) == pytest.approx(np.ones(6))


def test_constant_tokens_are_left_out_and_counted():
    data = tokens()
    data[:, 2] = 7.0
    features = whiten_tokens(data)
    assert features.constant_tokens == 1
    assert 2 not in features.tokens


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.ones((19, 4, 2)), "at least 20 samples, got 19"),
        (np.ones((30, 4, 2)), "at least 2 tokens that vary, got 0 of 4"),
        (
            np.full((30, 4), np.nan),
            "data must be finite, got NaN or infinity in sample 0",
        ),
    ],
)
def test_bad_data_is_one_line(data, message):
    with pytest.raises(InputError, match=message):
        whiten_tokens(data)
