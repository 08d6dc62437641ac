import math

import numpy as np
import pytest

from r2mae.law import (
    CosineSchedule,
    FixedRatio,
    LinearSchedule,
    MaskLaw,
    StepwiseSchedule,
    UniformRatio,
)


def test_ramps_interpolate_level_by_level():
    start, to = UniformRatio(0.2, 0.4), UniformRatio(0.6, 1.0)
    linear = MaskLaw(start, levels=2, schedule=LinearSchedule(to, 0.2, 0.6))
    for progress, low, high in (
        (0.0, 0.25, 0.35),
        (0.2, 0.25, 0.35),
        (0.3, 0.3625, 0.4875),
        (1.0, 0.7, 0.9),
    ):
        np.testing.assert_allclose(linear.table(progress), [low, high], rtol=1e-14)
    np.testing.assert_array_equal(linear.table(0.6), to.levels(2))
    cosine = MaskLaw(start, levels=2, schedule=CosineSchedule(to))
    share = (1 - math.sqrt(0.5)) / 2
    np.testing.assert_allclose(
        cosine.table(0.25), [0.25 + 0.45 * share, 0.35 + 0.55 * share], rtol=1e-14
    )
    np.testing.assert_allclose(cosine.table(0.5), [0.475, 0.625], rtol=1e-14)
    np.testing.assert_array_equal(cosine.table(1.0), to.levels(2))
    assert cosine.mean(0.5) == pytest.approx(0.55, rel=1e-14)


@pytest.mark.parametrize(
    "ends",
    [
        (FixedRatio(0.2), UniformRatio(0.6, 1.0)),
        (UniformRatio(0.6, 1.0), FixedRatio(0.2)),
    ],
)
def test_a_fixed_end_spreads_over_the_levels_of_the_other(ends):
    law = MaskLaw(ends[0], levels=2, schedule=LinearSchedule(ends[1]))
    for progress in (0.0, 0.5, 1.0):
        assert law.table(progress).shape == (2,)
    np.testing.assert_allclose(law.table(0.5), [0.45, 0.55], rtol=1e-14)
    fixed = MaskLaw(FixedRatio(0.2), levels=2, schedule=LinearSchedule(FixedRatio(0.4)))
    np.testing.assert_allclose(fixed.table(0.5), [0.3], rtol=1e-14)


def test_stepwise_switches_at_its_points():
    law = MaskLaw(
        FixedRatio(0.1),
        2,
        "sample",
        StepwiseSchedule((0.25, 0.5), (FixedRatio(0.2), UniformRatio(0.6, 0.8))),
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
