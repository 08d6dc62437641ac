import numpy as np
import pytest

from r2mae.advice.half_samples import band


def test_a_band_has_the_spread_of_the_values_and_the_given_mean():
    values = np.linspace(0, 1, 101)
    assert band(values) == pytest.approx((0.05, 0.95))
    assert band(values, around=3.0) == pytest.approx((2.55, 3.45))
