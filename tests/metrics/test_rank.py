import math

import numpy as np
import pytest

from r2mae.metrics.rank import effective_rank


def orthonormal(seed, rows, columns):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(rows, columns)))[0]


@pytest.mark.parametrize("dim", [1, 2, 7])
def test_equal_singular_values_count_directions(dim):
    assert effective_rank(orthonormal(0, 20, dim)) == pytest.approx(dim, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_closed_form_of_two_singular_values(scale):
    # Shares 3/4 and 1/4: the entropy is log 4 - (3/4) log 3. Squared values (9/10, 1/10) would give another.
    features = (
        scale * orthonormal(1, 12, 2) @ np.diag([3.0, 1.0]) @ orthonormal(2, 5, 2).T
    )
    assert effective_rank(features) == pytest.approx(4 / 3**0.75, rel=1e-12)


def test_agrees_with_the_gram_matrix():
    features = np.random.default_rng(3).normal(size=(50, 8)) * np.arange(1, 9)
    values = [math.sqrt(value) for value in np.linalg.eigvalsh(features.T @ features)]
    entropy = -sum(
        value / sum(values) * math.log(value / sum(values)) for value in values
    )
    assert effective_rank(features) == pytest.approx(math.exp(entropy), rel=1e-10)
    assert effective_rank(features.T) == pytest.approx(math.exp(entropy), rel=1e-10)


def test_not_centred():
    assert effective_rank(np.ones((9, 4))) == pytest.approx(1, rel=1e-12)
    features = np.random.default_rng(4).normal(size=(200, 6))
    assert effective_rank(features + 100) < 1.5 < 5.5 < effective_rank(features)


def test_zeros_use_no_direction():
    assert effective_rank(np.zeros((3, 2))) == 0


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones(3), "features must have 2 axes"),
        (np.ones((0, 2)), "features must have 2 axes, none empty"),
        ([[1.0, math.nan]], "features must be finite, got 1 NaN"),
        ([["1"]], "features must be real numbers"),
    ],
)
def test_bad_input_is_one_line(features, message):
    with pytest.raises(ValueError, match=message) as caught:
        effective_rank(features)
    assert "\n" not in str(caught.value)
