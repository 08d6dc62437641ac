import json
import math
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
from scipy import stats

from r2mae.law import (
    DISTRIBUTIONS,
    SCHEDULES,
    BetaRatio,
    CosineSchedule,
    FixedRatio,
    LinearSchedule,
    MaskLaw,
    MixtureRatio,
    StepwiseSchedule,
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
SCGPT = MixtureRatio((FixedRatio(0.25), FixedRatio(0.5), FixedRatio(0.75)), (0.25, 0.5, 0.25))
ATOMS = MixtureRatio((FixedRatio(0.7), UniformRatio(0.6, 0.8), BetaRatio(2, 2, 0.1, 0.3)), (0.3, 0.4, 0.3))
NESTED = MixtureRatio((SCGPT, UniformRatio(0.1, 0.2)), (0.5, 0.5))
EVERY = [FixedRatio(0.75), *(ours for ours, _ in CONTINUOUS), SCGPT, ATOMS, NESTED]


def name_of(value):
    return repr(value) if type(value) in DISTRIBUTIONS.values() else ""


def moments(reference, powers):
    """E ((p - mean) / sd)^k under a scipy law: its density summed over 200 panels of 20 Gauss-Legendre nodes.

    p = low + width sin(t)^2 takes the poles off the ends of a beta density.
    """
    (low, high), (nodes, weights) = reference.support(), np.polynomial.legendre.leggauss(20)
    panel = np.pi / 2 / 200
    t = (panel * (np.arange(200)[:, None] + (nodes + 1) / 2)).ravel()
    ratios = low + (high - low) * np.sin(t) ** 2
    mass = reference.pdf(ratios) * (high - low) * np.sin(2 * t) * np.tile(weights * panel / 2, 200)
    assert mass.sum() == pytest.approx(1, rel=1e-10)
    scaled = (ratios - reference.mean()) / reference.std()
    return [scaled**power @ mass for power in powers]


@pytest.mark.parametrize(("ours", "reference"), CONTINUOUS, ids=name_of)
def test_quantile_and_cdf_agree_with_scipy(ours, reference):
    u = np.linspace(0, 1, 41)
    np.testing.assert_allclose(ours.quantile(u), reference.ppf(u), rtol=1e-9, atol=1e-12)
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
    "ours", [*(law for law, _ in CONTINUOUS), BetaRatio(1e3, 1e-3), BetaRatio(1e-3, 1e3)], ids=repr
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
    assert ATOMS.mean_ratio == pytest.approx(0.3 * 0.7 + 0.4 * 0.7 + 0.3 * 0.2, rel=1e-14)
    nodes, weights = ATOMS.quadrature(4)
    assert nodes.shape == (9,)
    second = 0.3 * 0.49 + 0.4 * (0.49 + 0.04 / 12) + 0.3 * (0.04 + 0.04 / 20)
    assert nodes**2 @ weights == pytest.approx(second, rel=1e-13)


def test_levels_in_closed_form():
    np.testing.assert_allclose(UniformRatio(0.6, 0.9).levels(4), [0.6375, 0.7125, 0.7875, 0.8625], rtol=1e-15)
    np.testing.assert_allclose(BetaRatio(2, 1).levels(3), np.sqrt([1 / 6, 1 / 2, 5 / 6]), rtol=1e-14)
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
    u = np.concatenate([np.linspace(0.001, 0.999, 97), [0.125, 0.25, 0.3, 0.5, 0.7, 0.75]])
    ratios = law.quantile(u)
    assert (law.cdf(ratios) >= u - 1e-10).all()
    assert (law.cdf(ratios - 1e-6) < u).all()


def test_atoms_come_out_exact():
    tiny = MixtureRatio((FixedRatio(1e-9), FixedRatio(1 / 3), UniformRatio(0.5, 0.6)), (0.1, 0.2, 0.7))
    np.testing.assert_array_equal(tiny.quantile([0.0, 0.05, 0.1, 0.2, 0.3]), [1e-9] * 3 + [1 / 3] * 2)
    np.testing.assert_array_equal(tiny.quantile([0.3 + 1e-9, 1.0]) > 0.5 - 1e-12, True)
    # An atom inside a continuous part: 0.3 (beta) + 0.4 / 2 below it, 0.3 on it.
    np.testing.assert_array_equal(ATOMS.quantile([0.51, 0.65, 0.79]), [0.7] * 3)
    assert ATOMS.quantile(0.4) == pytest.approx(0.65, rel=1e-12)
    assert ATOMS.quantile(0.9) == pytest.approx(0.75, rel=1e-12)
    assert ATOMS.quantile(1.0) == 0.8
    thirds = MixtureRatio((FixedRatio(0.25), FixedRatio(0.5), FixedRatio(0.75)), (1 / 3, 1 / 3, 1 / 3))
    np.testing.assert_array_equal(thirds.quantile([1 / 3, 2 / 3, 1.0]), [0.25, 0.5, 0.75])
    # 0.7 + 0.1 falls short of 0.8 by rounding.
    uneven = MixtureRatio((FixedRatio(0.2), FixedRatio(0.4), FixedRatio(0.6)), (0.7, 0.1, 0.2))
    assert uneven.quantile(0.8) == 0.4


def test_weights_that_miss_1_by_rounding_are_scaled():
    mixed = MixtureRatio((FixedRatio(0.2), UniformRatio(0.5, 0.6)), (0.5, 0.5 - 9e-10))
    assert mixed.cdf(1.0) == pytest.approx(1, abs=1e-15)
    assert mixed.quantile(1.0) == 0.6


def test_tables_are_pure_and_cannot_be_spoiled():
    law = MaskLaw(ATOMS)
    first = law.table(0.0)
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(law.table(0.0), kept)
    np.testing.assert_array_equal(MaskLaw(ATOMS).table(1.0), kept)


def test_table_and_mean_of_a_law():
    law = MaskLaw(UniformRatio(0.6, 0.9), levels=3)
    np.testing.assert_allclose(law.table(0.3), [0.65, 0.75, 0.85], rtol=1e-15)
    assert law.mean() == pytest.approx(0.75, rel=1e-15)
    np.testing.assert_array_equal(MaskLaw(FixedRatio(0.4), levels=8).table(0.5), [0.4])
    # The table's mean, which trains, is not the continuous mean, 2/3.
    assert MaskLaw(BetaRatio(2, 1), levels=1).mean() == pytest.approx(math.sqrt(0.5), rel=1e-14)


def test_ramps_interpolate_level_by_level():
    start, to = UniformRatio(0.2, 0.4), UniformRatio(0.6, 1.0)
    linear = MaskLaw(start, levels=2, schedule=LinearSchedule(to, 0.2, 0.6))
    for progress, low, high in ((0.0, 0.25, 0.35), (0.2, 0.25, 0.35), (0.3, 0.3625, 0.4875), (1.0, 0.7, 0.9)):
        np.testing.assert_allclose(linear.table(progress), [low, high], rtol=1e-14)
    np.testing.assert_array_equal(linear.table(0.6), to.levels(2))
    cosine = MaskLaw(start, levels=2, schedule=CosineSchedule(to))
    share = (1 - math.sqrt(0.5)) / 2
    np.testing.assert_allclose(cosine.table(0.25), [0.25 + 0.45 * share, 0.35 + 0.55 * share], rtol=1e-14)
    np.testing.assert_allclose(cosine.table(0.5), [0.475, 0.625], rtol=1e-14)
    np.testing.assert_array_equal(cosine.table(1.0), to.levels(2))
    assert cosine.mean(0.5) == pytest.approx(0.55, rel=1e-14)


@pytest.mark.parametrize("ends", [(FixedRatio(0.2), UniformRatio(0.6, 1.0)), (UniformRatio(0.6, 1.0), FixedRatio(0.2))])
def test_a_fixed_end_spreads_over_the_levels_of_the_other(ends):
    law = MaskLaw(ends[0], levels=2, schedule=LinearSchedule(ends[1]))
    for progress in (0.0, 0.5, 1.0):
        assert law.table(progress).shape == (2,)
    np.testing.assert_allclose(law.table(0.5), [0.45, 0.55], rtol=1e-14)
    fixed = MaskLaw(FixedRatio(0.2), levels=2, schedule=LinearSchedule(FixedRatio(0.4)))
    np.testing.assert_allclose(fixed.table(0.5), [0.3], rtol=1e-14)


def test_stepwise_switches_at_its_points():
    law = MaskLaw(
        FixedRatio(0.1), 2, "sample", StepwiseSchedule((0.25, 0.5), (FixedRatio(0.2), UniformRatio(0.6, 0.8)))
    )
    for progress, want in (
        (0.0, [0.1]),
        (0.2499, [0.1]),
        (0.25, [0.2]),
        (0.4999, [0.2]),
        (0.5, [0.65, 0.75]),
    ):
        np.testing.assert_allclose(law.table(progress), want, rtol=1e-14)
    np.testing.assert_allclose(law.table(1.0), [0.65, 0.75], rtol=1e-14)


def test_to_dict_speaks_recipe():
    assert MaskLaw(UniformRatio(0.6, 0.9)).to_dict() == {
        "ratio": {"uniform": {"low": 0.6, "high": 0.9}},
        "levels": 8,
        "scope": "step",
        "schedule": None,
    }
    mixed = MixtureRatio(
        (FixedRatio(0.5), BetaRatio(2, 5), TruncatedNormalRatio(0.5, 0.1, 0.2, 0.9)), (0.5, 0.25, 0.25)
    )
    law = MaskLaw(mixed, 4, "sample", StepwiseSchedule((0.5,), (FixedRatio(0.3),)))
    parts = [
        {"fixed": {"ratio": 0.5}},
        {"beta": {"a": 2.0, "b": 5.0, "low": 0.0, "high": 1.0}},
        {"truncated_normal": {"mean": 0.5, "sd": 0.1, "low": 0.2, "high": 0.9}},
    ]
    want = {
        "ratio": {"mixture": {"components": parts, "weights": [0.5, 0.25, 0.25]}},
        "levels": 4,
        "scope": "sample",
        "schedule": {"stepwise": {"at": [0.5], "to": [{"fixed": {"ratio": 0.3}}]}},
    }
    assert law.to_dict() == want
    assert json.loads(json.dumps(law.to_dict())) == want
    cosine = MaskLaw(FixedRatio(np.float64(0.5)), schedule=CosineSchedule(UniformRatio(0, 1), end=0.5)).to_dict()
    assert cosine["schedule"] == {"cosine": {"to": {"uniform": {"low": 0.0, "high": 1.0}}, "start": 0.0, "end": 0.5}}
    # Whole numbers of a caller turn up as a recipe would hold them.
    assert json.dumps(cosine["schedule"]).count("0.0") == 2


def test_tags_are_complete():
    assert list(DISTRIBUTIONS) == ["fixed", "uniform", "beta", "truncated_normal", "mixture"]
    assert list(SCHEDULES) == ["linear", "cosine", "stepwise"]
    assert [field.name for field in fields(MaskLaw)] == ["ratio", "levels", "scope", "schedule"]


HALF = FixedRatio(0.5)
BAD = [
    (lambda: FixedRatio(75), "ratio must be in (0, 1), got 75. Ratios are fractions; did you mean 0.75?"),
    (
        lambda: FixedRatio(62.5),
        "ratio must be in (0, 1), got 62.5. Ratios are fractions; did you mean 0.625?",
    ),
    (lambda: FixedRatio(0.0), "ratio must be in (0, 1), got 0."),
    (lambda: FixedRatio(1), "ratio must be in (0, 1), got 1."),
    (lambda: FixedRatio(101), "ratio must be in (0, 1), got 101."),
    (lambda: FixedRatio(True), "ratio must be in (0, 1), got True."),
    (lambda: FixedRatio("0.5"), "ratio must be in (0, 1), got 0.5."),
    (lambda: FixedRatio(math.nan), "ratio must be in (0, 1), got nan."),
    (
        lambda: UniformRatio(0.6, 90),
        "high must be in (low, 1], got 90. Ratios are fractions; did you mean 0.90?",
    ),
    (
        lambda: UniformRatio(0.6, 90.0),
        "high must be in (low, 1], got 90. Ratios are fractions; did you mean 0.90?",
    ),
    (lambda: UniformRatio(60, 90), "low must be in [0, 1), got 60. Ratios are fractions; did you mean 0.60?"),
    (lambda: UniformRatio(0.6, 0.6), "high must be in (low, 1], got 0.6."),
    (lambda: UniformRatio(0.9, 0.6), "high must be in (low, 1], got 0.6."),
    (lambda: UniformRatio(-0.1, 0.6), "low must be in [0, 1), got -0.1."),
    (lambda: UniformRatio(False, 0.6), "low must be in [0, 1), got False."),
    (lambda: UniformRatio(0.5, math.inf), "high must be in (low, 1], got inf."),
    (lambda: BetaRatio(0, 1), "a must be in [0.001, 1000], got 0."),
    (lambda: BetaRatio(1, 5000), "b must be in [0.001, 1000], got 5000."),
    (lambda: BetaRatio(2, math.nan), "b must be in [0.001, 1000], got nan."),
    (lambda: BetaRatio(2, 2, 0.5, 0.4), "high must be in (low, 1], got 0.4."),
    (
        lambda: TruncatedNormalRatio(75, 0.1, 0.6, 0.9),
        "mean must be in [0, 1], got 75. Ratios are fractions; did you mean 0.75?",
    ),
    (lambda: TruncatedNormalRatio(0.75, 0, 0.6, 0.9), "sd must be in [0.001, 1], got 0."),
    (
        lambda: TruncatedNormalRatio(0.75, 10, 0.6, 0.9),
        "sd must be in [0.001, 1], got 10. Ratios are fractions; did you mean 0.10?",
    ),
    (lambda: TruncatedNormalRatio(0.75, 0.1, 0.9, 0.6), "high must be in (low, 1], got 0.6."),
    (lambda: TruncatedNormalRatio(0.1, 0.01, 0.6, 0.9), "mean must be within 8 sd of [low, high], got 0.1."),
    (lambda: MixtureRatio((HALF,), (1.0,)), "components must be at least two, got 1."),
    (
        lambda: MixtureRatio((HALF, 0.7), (0.5, 0.5)),
        "components must be a distribution such as FixedRatio(0.75), got 0.7.",
    ),
    (lambda: MixtureRatio((HALF, HALF), (0.5, 0.3, 0.2)), "weights must be 2, one a component, got 3."),
    (
        lambda: MixtureRatio((HALF, HALF), (0.5, 0.6)),
        "weights must be positive and sum to 1, got [0.5, 0.6].",
    ),
    (
        lambda: MixtureRatio((HALF, HALF), (1.5, -0.5)),
        "weights must be positive and sum to 1, got [1.5, -0.5].",
    ),
    (
        lambda: MixtureRatio((HALF, HALF), (1.0, 0.0)),
        "weights must be positive and sum to 1, got [1.0, 0.0].",
    ),
    (
        lambda: MixtureRatio((HALF, HALF), (math.nan, 0.5)),
        "weights must be positive and sum to 1, got [nan, 0.5].",
    ),
    (lambda: LinearSchedule(0.5), "to must be a distribution such as FixedRatio(0.75), got 0.5."),
    (lambda: LinearSchedule(HALF, 0.5, 0.5), "end must be in (start, 1], got 0.5."),
    (lambda: CosineSchedule(HALF, -0.1), "start must be in [0, 1), got -0.1."),
    (lambda: CosineSchedule(HALF, 0, 50), "end must be in (start, 1], got 50."),
    (lambda: StepwiseSchedule((), ()), "at must rise strictly within (0, 1), got []."),
    (lambda: StepwiseSchedule((0.0,), (HALF,)), "at must rise strictly within (0, 1), got [0.0]."),
    (
        lambda: StepwiseSchedule((0.5, 1.0), (HALF, HALF)),
        "at must rise strictly within (0, 1), got [0.5, 1.0].",
    ),
    (
        lambda: StepwiseSchedule((0.5, 0.5), (HALF, HALF)),
        "at must rise strictly within (0, 1), got [0.5, 0.5].",
    ),
    (lambda: StepwiseSchedule((0.5,), (HALF, HALF)), "to must be 1 laws, one a point of at, got 2."),
    (
        lambda: StepwiseSchedule((0.5,), (0.5,)),
        "to must be a distribution such as FixedRatio(0.75), got 0.5.",
    ),
    (lambda: MaskLaw(0.75), "ratio must be a distribution such as FixedRatio(0.75), got 0.75."),
    (lambda: MaskLaw(HALF, 0), "levels must be a whole number in [1, 64], got 0."),
    (lambda: MaskLaw(HALF, 65), "levels must be a whole number in [1, 64], got 65."),
    (lambda: MaskLaw(HALF, 8.0), "levels must be a whole number in [1, 64], got 8.0."),
    (lambda: MaskLaw(HALF, True), "levels must be a whole number in [1, 64], got True."),
    (lambda: MaskLaw(HALF, 8, "batch"), "scope must be step or sample, got batch."),
    (
        lambda: MaskLaw(HALF, schedule="linear"),
        "schedule must be one of linear, cosine, stepwise or None, got linear.",
    ),
    (lambda: MaskLaw(HALF).table(1.5), "progress must be in [0, 1], got 1.5."),
    (lambda: MaskLaw(HALF).table(math.nan), "progress must be in [0, 1], got nan."),
    (lambda: UniformRatio(0.6, 0.9).quantile([0.5, 1.5]), "u must be in [0, 1], got [0.5, 1.5]."),
    (lambda: SCGPT.quantile(math.nan), "u must be in [0, 1], got nan."),
    (lambda: HALF.levels(0), "num must be a whole number in [1, 65536], got 0."),
    (lambda: BetaRatio(2, 2).quadrature(0), "num must be a whole number in [1, 65536], got 0."),
]


@pytest.mark.parametrize(("build", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_one_line(build, message):
    with pytest.raises(ValueError) as caught:
        build()
    assert str(caught.value) == message


def test_import_loads_neither_scipy_nor_torch():
    code = "import sys, r2mae.law; print(sorted({'scipy', 'torch', 'pydantic'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
