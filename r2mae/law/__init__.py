"""The mask-ratio law: distribution of the mask ratio, scope and schedule.

Training draws from the law's table of equally likely `levels`; the theory integrates
with its `quadrature`. numpy only.
"""

from r2mae.law.balance import expected_maximum
from r2mae.law.distribution import (
    BetaRatio,
    FixedRatio,
    RatioDistribution,
    UniformRatio,
)
from r2mae.law.mask_law import (
    DISTRIBUTIONS,
    SCHEDULES,
    MaskLaw,
    distribution_to_dict,
    schedule_to_dict,
)
from r2mae.law.mixture import MixtureRatio
from r2mae.law.schedule import (
    CosineSchedule,
    LinearSchedule,
    Schedule,
    StepwiseSchedule,
)
from r2mae.law.truncated_normal import TruncatedNormalRatio

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
    "expected_maximum",
    "schedule_to_dict",
]
