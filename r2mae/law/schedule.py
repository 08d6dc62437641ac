"""How a law moves during training: level by level towards another, or by replacement."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise

from r2mae.law.checks import check, is_number
from r2mae.law.distribution import Floats, RatioDistribution, check_distribution


@dataclass(frozen=True)
class Ramp(ABC):
    """The law moves to `to`, level by level, between two points of training progress in [0, 1].

    Interpolated quantiles are the shortest way from one law to another (the Wasserstein geodesic).
    """

    to: RatioDistribution
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        check_distribution("to", self.to)
        check(
            "start",
            self.start,
            "be in [0, 1)",
            lambda start: 0 <= start < 1,
            is_ratio=False,
        )
        check(
            "end",
            self.end,
            "be in (start, 1]",
            lambda end: self.start < end <= 1,
            is_ratio=False,
        )

    def table(self, ratio: RatioDistribution, num: int, progress: float) -> Floats:
        """Levels at a training progress, (num,), or (1,) between two fixed ratios."""
        share = self._share(
            min(max((progress - self.start) / (self.end - self.start), 0.0), 1.0)
        )
        return (1 - share) * ratio.levels(num) + share * self.to.levels(num)

    @abstractmethod
    def _share(self, progress: float) -> float:
        """How much of `to` there is, in [0, 1], at a share of the ramp's own way."""


@dataclass(frozen=True)
class LinearSchedule(Ramp):
    """The law moves to `to` in a straight line."""

    def _share(self, progress: float) -> float:
        return progress


@dataclass(frozen=True)
class CosineSchedule(Ramp):
    """The law moves to `to`, slowly at both ends."""

    def _share(self, progress: float) -> float:
        return (1 - math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class StepwiseSchedule:
    """The law is replaced by to[i] when training progress reaches at[i]."""

    at: tuple[float, ...]
    to: tuple[RatioDistribution, ...]

    def __post_init__(self) -> None:
        ordered = (0.0, *self.at, 1.0)
        rising = all(is_number(b) and a < b for a, b in pairwise(ordered))
        if not self.at or not rising:
            raise ValueError(
                f"at must rise strictly within (0, 1), got {list(self.at)}."
            )
        if len(self.at) != len(self.to):
            raise ValueError(
                f"to must be {len(self.at)} laws, one a point of at, got {len(self.to)}."
            )
        for law in self.to:
            check_distribution("to", law)

    def table(self, ratio: RatioDistribution, num: int, progress: float) -> Floats:
        """Levels at a training progress, (num,), or (1,) where a fixed ratio holds."""
        return (ratio, *self.to)[sum(progress >= point for point in self.at)].levels(
            num
        )


Schedule = LinearSchedule | CosineSchedule | StepwiseSchedule
