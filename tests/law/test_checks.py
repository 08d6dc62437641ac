import math

import pytest

from r2mae.law import (
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

SCGPT = MixtureRatio(
    (FixedRatio(0.25), FixedRatio(0.5), FixedRatio(0.75)), (0.25, 0.5, 0.25)
)


HALF = FixedRatio(0.5)


BAD = [
    (
        lambda: FixedRatio(75),
        "ratio must be in (0, 1), got 75. Ratios are fractions; did you mean 0.75?",
    ),
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
    (
        lambda: UniformRatio(60, 90),
        "low must be in [0, 1), got 60. Ratios are fractions; did you mean 0.60?",
    ),
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
    (
        lambda: TruncatedNormalRatio(0.75, 0, 0.6, 0.9),
        "sd must be in [0.001, 1], got 0.",
    ),
    (
        lambda: TruncatedNormalRatio(0.75, 10, 0.6, 0.9),
        "sd must be in [0.001, 1], got 10. Ratios are fractions; did you mean 0.10?",
    ),
    (
        lambda: TruncatedNormalRatio(0.75, 0.1, 0.9, 0.6),
        "high must be in (low, 1], got 0.6.",
    ),
    (
        lambda: TruncatedNormalRatio(0.1, 0.01, 0.6, 0.9),
        "mean must be within 8 sd of [low, high], got 0.1.",
    ),
    (lambda: MixtureRatio((HALF,), (1.0,)), "components must be at least two, got 1."),
    (
        lambda: MixtureRatio((HALF, 0.7), (0.5, 0.5)),
        "components must be a distribution such as FixedRatio(0.75), got 0.7.",
    ),
    (
        lambda: MixtureRatio((HALF, HALF), (0.5, 0.3, 0.2)),
        "weights must be 2, one per component, got 3.",
    ),
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
    (
        lambda: LinearSchedule(0.5),
        "to must be a distribution such as FixedRatio(0.75), got 0.5.",
    ),
    (lambda: LinearSchedule(HALF, 0.5, 0.5), "end must be in (start, 1], got 0.5."),
    (lambda: CosineSchedule(HALF, -0.1), "start must be in [0, 1), got -0.1."),
    (lambda: CosineSchedule(HALF, 0, 50), "end must be in (start, 1], got 50."),
    (lambda: StepwiseSchedule((), ()), "at must rise strictly within (0, 1), got []."),
    (
        lambda: StepwiseSchedule((0.0,), (HALF,)),
        "at must rise strictly within (0, 1), got [0.0].",
    ),
    (
        lambda: StepwiseSchedule((0.5, 1.0), (HALF, HALF)),
        "at must rise strictly within (0, 1), got [0.5, 1.0].",
    ),
    (
        lambda: StepwiseSchedule((0.5, 0.5), (HALF, HALF)),
        "at must rise strictly within (0, 1), got [0.5, 0.5].",
    ),
    (
        lambda: StepwiseSchedule((0.5,), (HALF, HALF)),
        "to must be 1 laws, one per point of at, got 2.",
    ),
    (
        lambda: StepwiseSchedule((0.5,), (0.5,)),
        "to must be a distribution such as FixedRatio(0.75), got 0.5.",
    ),
    (
        lambda: MaskLaw(0.75),
        "ratio must be a distribution such as FixedRatio(0.75), got 0.75.",
    ),
    (lambda: MaskLaw(HALF, 0), "levels must be a whole number in [1, 64], got 0."),
    (lambda: MaskLaw(HALF, 65), "levels must be a whole number in [1, 64], got 65."),
    (lambda: MaskLaw(HALF, 8.0), "levels must be a whole number in [1, 64], got 8.0."),
    (
        lambda: MaskLaw(HALF, True),
        "levels must be a whole number in [1, 64], got True.",
    ),
    (
        lambda: MaskLaw(HALF, 8, "batch"),
        "scope must be one of step, sample, stratified, got batch.",
    ),
    (
        lambda: MaskLaw(HALF, schedule="linear"),
        "schedule must be one of linear, cosine, stepwise or None, got linear.",
    ),
    (lambda: MaskLaw(HALF).table(1.5), "progress must be in [0, 1], got 1.5."),
    (lambda: MaskLaw(HALF).table(math.nan), "progress must be in [0, 1], got nan."),
    (
        lambda: UniformRatio(0.6, 0.9).quantile([0.5, 1.5]),
        "u must be in [0, 1], got [0.5, 1.5].",
    ),
    (lambda: SCGPT.quantile(math.nan), "u must be in [0, 1], got nan."),
    (lambda: HALF.levels(0), "num must be a whole number in [1, 65536], got 0."),
    (
        lambda: BetaRatio(2, 2).quadrature(0),
        "num must be a whole number in [1, 65536], got 0.",
    ),
]


@pytest.mark.parametrize(("build", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_one_line(build, message):
    with pytest.raises(ValueError) as caught:
        build()
    assert str(caught.value) == message
