import numpy as np
import pytest

from r2mae.advice.half_samples import band


def test_an_estimate_is_inside_its_band_also_where_halves_are_biased():
    low, high = band(0.4, [0.41, 0.42, 0.42])
    assert low == pytest.approx(0.38)
    assert high == pytest.approx(0.42)


def test_a_band_of_equal_halves_has_the_resolution_of_the_grid():
    assert band(0.04, [0.04] * 10, resolution=0.01) == pytest.approx((0.03, 0.05))


def test_a_band_ends_at_the_limits_but_holds_the_estimate():
    assert band(0.1, [0.5], limits=(0, 1)) == pytest.approx((0.0, 0.5))
    assert band(-0.01, [0.5], limits=(0, 1))[0] == -0.01


def test_bands_of_means_cover_the_truth_in_nine_of_ten_samples():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        values = rng.standard_normal(100)
        halves = [rng.permutation(values)[:50].mean() for _ in range(200)]
        low, high = band(values.mean(), halves)
        covered.append(low <= 0 <= high)
    assert 0.85 < np.mean(covered) < 0.95
