"""Mask-ratio schedules: ramps to another distribution, or stepwise replacement."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise

from r2mae.law.checks import check, is_number
from r2mae.law.distribution import Floats, RatioDistribution, check_distribution


@dataclass(frozen=True)
class Ramp(ABC):
    """Interpolate, level by level, from the initial distribution to `to`.

    start, end: training progress in [0, 1] at which the ramp starts and ends.
    Interpolating quantiles follows the Wasserstein geodesic, the shortest path between
    two distributions.
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
        """Levels (num,) at a training progress; (1,) between two fixed ratios.

        ratio: the initial distribution.
        """
        position = (progress - self.start) / (self.end - self.start)
        share = self._share(min(max(position, 0.0), 1.0))
        return (1 - share) * ratio.levels(num) + share * self.to.levels(num)

    @abstractmethod
    def _share(self, position: float) -> float:
        """Weight of `to`, in [0, 1], at a position in [0, 1] along the ramp."""


@dataclass(frozen=True)
class LinearSchedule(Ramp):
    """Linear ramp to `to`."""

    def _share(self, position: float) -> float:
        return position


@dataclass(frozen=True)
class CosineSchedule(Ramp):
    """Half-cosine ramp to `to`, slow at both ends."""

    def _share(self, position: float) -> float:
        return (1 - math.cos(math.pi * position)) / 2


@dataclass(frozen=True)
class StepwiseSchedule:
    """Replace the distribution by to[i] when training progress reaches at[i]."""

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
                f"to must be {len(self.at)} laws, one per point of at, "
                f"got {len(self.to)}."
            )
        for law in self.to:
            check_distribution("to", law)

    def table(self, ratio: RatioDistribution, num: int, progress: float) -> Floats:
        """Levels (num,) at a training progress; (1,) where the ratio is fixed.

        ratio: the initial distribution.
        """
        num_passed = sum(progress >= point for point in self.at)
        return (ratio, *self.to)[num_passed].levels(num)


Schedule = LinearSchedule | CosineSchedule | StepwiseSchedule
