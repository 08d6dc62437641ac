"""Imputed counts are scored on the scale on which cells are compared."""

import numpy as np
import pytest
from scipy.stats import nbinom

from r2mae.modalities.cell.imputation import expected_log


@pytest.mark.parametrize("dispersion", [0.02, 0.5, 3.0, 150.0])
def test_expected_log_is_the_mean_over_all_counts(dispersion):
    rates = np.array([1e-3, 0.1, 1.0, 8.0])
    scale = np.array([3.0, 8.0, 5.0, 0.5])
    counts = np.arange(20_000)[:, None]
    probability = dispersion / (dispersion + rates)
    weights = nbinom.pmf(counts, dispersion, probability)
    exact = (weights * np.log1p(counts * scale)).sum(axis=0)
    np.testing.assert_allclose(expected_log(rates, scale, dispersion), exact, rtol=0.05)
    rare = slice(0, 2)  # nearly all of their mass is summed
    np.testing.assert_allclose(
        expected_log(rates, scale, dispersion)[rare], exact[rare], rtol=1e-2
    )


def test_expected_log_of_large_counts_is_the_logarithm_of_the_mean():
    rates, scale = np.array([5e4]), np.array([0.1])
    expected = expected_log(rates, scale, 1e4)
    np.testing.assert_allclose(expected, np.log1p(5e3), rtol=1e-4)


def test_expected_log_is_below_the_logarithm_of_the_mean():
    rates, scale = np.full(3, 0.05), np.array([1.0, 4.0, 20.0])
    ratios = expected_log(rates, scale, 0.4) / np.log1p(rates * scale)
    assert np.all(ratios < 1)
    assert np.all(np.diff(ratios) < 0)
