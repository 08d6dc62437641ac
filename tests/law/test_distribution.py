import numpy as np
import pytest
from scipy import stats

from r2mae.law import (
    DISTRIBUTIONS,
    BetaRatio,
    FixedRatio,
    MixtureRatio,
    TruncatedNormalRatio,
    UniformRatio,
)


def truncated(mean, sd, low, high):
    return stats.truncnorm((low - mean) / sd, (high - mean) / sd, loc=mean, scale=sd)


# Ours beside scipy's.
CONTINUOUS = [
    (UniformRatio(0.6, 0.9), stats.uniform(0.6, 0.3)),
    (UniformRatio(0, 1), stats.uniform(0, 1)),
    (BetaRatio(2, 5), stats.beta(2, 5)),
    (BetaRatio(0.5, 0.5, 0.2, 0.9), stats.beta(0.5, 0.5, loc=0.2, scale=0.7)),
    (BetaRatio(40, 3, 0.1, 0.8), stats.beta(40, 3, loc=0.1, scale=0.7)),
    (TruncatedNormalRatio(0.55, 0.25, 0.5, 1.0), truncated(0.55, 0.25, 0.5, 1.0)),
    (TruncatedNormalRatio(0.75, 0.002, 0.0, 1.0), truncated(0.75, 0.002, 0.0, 1.0)),
    (TruncatedNormalRatio(0.5, 0.05, 0.85, 0.95), truncated(0.5, 0.05, 0.85, 0.95)),
    (TruncatedNormalRatio(0.9, 0.1, 0.2, 0.4), truncated(0.9, 0.1, 0.2, 0.4)),
    (TruncatedNormalRatio(0.5, 1.0, 0.3, 0.4), truncated(0.5, 1.0, 0.3, 0.4)),
]


SCGPT = MixtureRatio(
    (FixedRatio(0.25), FixedRatio(0.5), FixedRatio(0.75)), (0.25, 0.5, 0.25)
)


ATOMS = MixtureRatio(
    (FixedRatio(0.7), UniformRatio(0.6, 0.8), BetaRatio(2, 2, 0.1, 0.3)),
    (0.3, 0.4, 0.3),
)


NESTED = MixtureRatio((SCGPT, UniformRatio(0.1, 0.2)), (0.5, 0.5))


EVERY = [FixedRatio(0.75), *(ours for ours, _ in CONTINUOUS), SCGPT, ATOMS, NESTED]


def name_of(value):
    return repr(value) if type(value) in DISTRIBUTIONS.values() else ""


def moments(reference, powers):
    """E ((p - mean) / sd)^k under a scipy law: its density summed over 200 panels of 20 Gauss-Legendre nodes.

    p = low + width sin(t)^2 takes the poles off the ends of a beta density.
    """
    (low, high), (nodes, weights) = (
        reference.support(),
        np.polynomial.legendre.leggauss(20),
    )
    panel = np.pi / 2 / 200
    t = (panel * (np.arange(200)[:, None] + (nodes + 1) / 2)).ravel()
    ratios = low + (high - low) * np.sin(t) ** 2
    mass = (
        reference.pdf(ratios)
        * (high - low)
        * np.sin(2 * t)
        * np.tile(weights * panel / 2, 200)
    )
    assert mass.sum() == pytest.approx(1, rel=1e-10)
    scaled = (ratios - reference.mean()) / reference.std()
    return [scaled**power @ mass for power in powers]


@pytest.mark.parametrize(("ours", "reference"), CONTINUOUS, ids=name_of)
def test_quantile_and_cdf_agree_with_scipy(ours, reference):
    u = np.linspace(0, 1, 41)
    np.testing.assert_allclose(
        ours.quantile(u), reference.ppf(u), rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(ours.cdf(reference.ppf(u)), u, rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(ours.cdf([-0.5, 1.5]), [0, 1])
    assert ours.quantile(np.full((2, 3), 0.5)).shape == (2, 3)


@pytest.mark.parametrize(("ours", "reference"), CONTINUOUS, ids=name_of)
@pytest.mark.parametrize("num", [1, 2, 5])
def test_quadrature_integrates_polynomials_exactly(ours, reference, num):
    nodes, weights = ours.quadrature(num)
    assert nodes.dtype == weights.dtype == np.float64
    assert nodes.shape == weights.shape == (num,)
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    scaled = (nodes - reference.mean()) / reference.std()
    *exact, beyond = moments(reference, range(1, 2 * num + 1))
    for power, want in enumerate(exact, start=1):
        assert scaled**power @ weights == pytest.approx(want, rel=1e-8, abs=1e-8)
    # One degree more is out of reach of num nodes, or the test above proves little.
    assert abs(scaled ** (2 * num) @ weights - beyond) > 1e-3


@pytest.mark.parametrize("num", [8, 64, 200])
@pytest.mark.parametrize(
    "ours",
    [*(law for law, _ in CONTINUOUS), BetaRatio(1e3, 1e-3), BetaRatio(1e-3, 1e3)],
    ids=repr,
)
def test_large_quadratures_stay_sound(ours, num):
    nodes, weights = ours.quadrature(num)
    assert np.isfinite(nodes).all()
    assert (weights >= 0).all()
    assert (np.diff(nodes) >= 0).all()
    assert nodes[0] >= ours.low - 1e-12
    assert nodes[-1] <= ours.high + 1e-12
    assert nodes @ weights == pytest.approx(ours.mean_ratio, abs=1e-11)


@pytest.mark.parametrize(("ours", "reference"), CONTINUOUS, ids=name_of)
def test_mean_agrees_with_scipy(ours, reference):
    assert ours.mean_ratio == pytest.approx(reference.mean(), rel=1e-9)


def test_mean_of_a_mixture_is_the_weighted_mean():
    assert ATOMS.mean_ratio == pytest.approx(
        0.3 * 0.7 + 0.4 * 0.7 + 0.3 * 0.2, rel=1e-14
    )
    nodes, weights = ATOMS.quadrature(4)
    assert nodes.shape == (9,)
    second = 0.3 * 0.49 + 0.4 * (0.49 + 0.04 / 12) + 0.3 * (0.04 + 0.04 / 20)
    assert nodes**2 @ weights == pytest.approx(second, rel=1e-13)


def test_levels_in_closed_form():
    np.testing.assert_allclose(
        UniformRatio(0.6, 0.9).levels(4), [0.6375, 0.7125, 0.7875, 0.8625], rtol=1e-15
    )
    np.testing.assert_allclose(
        BetaRatio(2, 1).levels(3), np.sqrt([1 / 6, 1 / 2, 5 / 6]), rtol=1e-14
    )
    np.testing.assert_array_equal(FixedRatio(0.75).levels(8), [0.75])
    np.testing.assert_array_equal(SCGPT.levels(8), [0.25] * 2 + [0.5] * 4 + [0.75] * 2)
    np.testing.assert_array_equal(SCGPT.levels(4), [0.25, 0.5, 0.5, 0.75])
    assert UniformRatio(0.3, 0.5).levels(1) == pytest.approx(0.4, rel=1e-15)


@pytest.mark.parametrize("law", EVERY, ids=repr)
def test_levels_rise_and_their_mean_converges(law):
    for num in (1, 8, 64):
        levels = law.levels(num)
        assert levels.dtype == np.float64
        assert len(levels) == (1 if isinstance(law, FixedRatio) else num)
        assert (np.diff(levels) >= 0).all()
        assert (levels > 0).all()
        assert (levels < 1).all()
    errors = [abs(law.levels(num).mean() - law.mean_ratio) for num in (16, 4096)]
    assert errors[1] <= max(errors[0] / 10, 1e-9)
    assert errors[1] < 1e-4


@pytest.mark.parametrize("law", EVERY, ids=repr)
def test_quantile_is_the_least_ratio_that_reaches(law):
    u = np.concatenate(
        [np.linspace(0.001, 0.999, 97), [0.125, 0.25, 0.3, 0.5, 0.7, 0.75]]
    )
    ratios = law.quantile(u)
    assert (law.cdf(ratios) >= u - 1e-10).all()
    assert (law.cdf(ratios - 1e-6) < u).all()


def test_atoms_come_out_exact():
    tiny = MixtureRatio(
        (FixedRatio(1e-9), FixedRatio(1 / 3), UniformRatio(0.5, 0.6)), (0.1, 0.2, 0.7)
    )
    np.testing.assert_array_equal(
        tiny.quantile([0.0, 0.05, 0.1, 0.2, 0.3]), [1e-9] * 3 + [1 / 3] * 2
    )
    np.testing.assert_array_equal(tiny.quantile([0.3 + 1e-9, 1.0]) > 0.5 - 1e-12, True)
    # An atom inside a continuous part: 0.3 (beta) + 0.4 / 2 below it, 0.3 on it.
    np.testing.assert_array_equal(ATOMS.quantile([0.51, 0.65, 0.79]), [0.7] * 3)
    assert ATOMS.quantile(0.4) == pytest.approx(0.65, rel=1e-12)
    assert ATOMS.quantile(0.9) == pytest.approx(0.75, rel=1e-12)
    assert ATOMS.quantile(1.0) == 0.8
    thirds = MixtureRatio(
        (FixedRatio(0.25), FixedRatio(0.5), FixedRatio(0.75)), (1 / 3, 1 / 3, 1 / 3)
    )
    np.testing.assert_array_equal(
        thirds.quantile([1 / 3, 2 / 3, 1.0]), [0.25, 0.5, 0.75]
    )
    # 0.7 + 0.1 falls short of 0.8 by rounding.
    uneven = MixtureRatio(
        (FixedRatio(0.2), FixedRatio(0.4), FixedRatio(0.6)), (0.7, 0.1, 0.2)
    )
    assert uneven.quantile(0.8) == 0.4


def test_weights_that_miss_1_by_rounding_are_scaled():
    mixed = MixtureRatio((FixedRatio(0.2), UniformRatio(0.5, 0.6)), (0.5, 0.5 - 9e-10))
    assert mixed.cdf(1.0) == pytest.approx(1, abs=1e-15)
    assert mixed.quantile(1.0) == 0.6
