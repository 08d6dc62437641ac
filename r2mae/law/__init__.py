"""The mask-ratio law: a distribution of ratios, its scope, and how it moves during training. numpy only.

What trains is the law's table of equally likely `levels`; what the theory reads is its `quadrature`.
"""

from r2mae.law.balance import expected_greatest
from r2mae.law.distribution import (
    BetaRatio,
    FixedRatio,
    MixtureRatio,
    RatioDistribution,
    TruncatedNormalRatio,
    UniformRatio,
)
from r2mae.law.mask_law import (
    DISTRIBUTIONS,
    SCHEDULES,
    MaskLaw,
    distribution_to_dict,
    schedule_to_dict,
)
from r2mae.law.schedule import (
    CosineSchedule,
    LinearSchedule,
    Schedule,
    StepwiseSchedule,
)

__all__ = [
    "BetaRatio",
    "CosineSchedule",
    "DISTRIBUTIONS",
    "FixedRatio",
    "LinearSchedule",
    "MaskLaw",
    "MixtureRatio",
    "RatioDistribution",
    "SCHEDULES",
    "Schedule",
    "StepwiseSchedule",
    "TruncatedNormalRatio",
    "UniformRatio",
    "distribution_to_dict",
    "expected_greatest",
    "schedule_to_dict",
]
