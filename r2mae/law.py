"""The mask-ratio law: a distribution of ratios, its scope, and how it moves during training. numpy only.

What trains is the law's table of equally likely `levels`; what the theory reads is its `quadrature`.
A ratio is always the fraction hidden.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]


def _check(name: str, value: float, rule: str, holds: bool) -> None:
    if isinstance(value, bool) or not math.isfinite(value) or not holds:
        percent = 1 < value <= 100
        hint = f" Ratios are fractions; did you mean {value / 100:.2f}?" if percent else ""
        raise ValueError(f"{name} must {rule}, got {value}.{hint}")


class RatioDistribution:
    """A distribution of mask ratios on [0, 1]; subclasses are frozen dataclasses."""

    # pydantic reads this when a recipe is validated: unknown keys are refused, words are no numbers.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}

    def quantile(self, probabilities: Array) -> Array:
        """Inverse of the cdf, any shape."""
        raise NotImplementedError

    def cdf(self, ratios: Array) -> Array:
        """Probability of a ratio at most the given one, any shape."""
        raise NotImplementedError

    def quadrature(self, num: int) -> tuple[Array, Array]:
        """Nodes (K,) and weights (K,), summing to one, that integrate smooth functions against the law."""
        raise NotImplementedError

    def levels(self, num: int) -> Array:
        """The num equally likely ratios that train: midpoint quantiles, (num,) ascending."""
        return self.quantile((np.arange(num) + 0.5) / num)

    @property
    def mean_ratio(self) -> float:
        """Expected ratio."""
        nodes, weights = self.quadrature(64)
        return float(nodes @ weights)


@dataclass(frozen=True)
class FixedRatio(RatioDistribution):
    """Always the same share, as in MAE (0.75) and BERT (0.15)."""

    ratio: float

    def __post_init__(self) -> None:
        _check("ratio", self.ratio, "be in (0, 1)", 0 < self.ratio < 1)

    def quantile(self, probabilities: Array) -> Array:
        return np.full(np.shape(probabilities), self.ratio)

    def cdf(self, ratios: Array) -> Array:
        return (np.asarray(ratios) >= self.ratio).astype(np.float64)

    def levels(self, num: int) -> Array:  # noqa: ARG002 - one level says it all
        return np.array([self.ratio])

    def quadrature(self, num: int) -> tuple[Array, Array]:  # noqa: ARG002
        return np.array([self.ratio]), np.ones(1)


@dataclass(frozen=True)
class UniformRatio(RatioDistribution):
    """Any share between low and high, equally likely: R²MAE."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high)

    def quantile(self, probabilities: Array) -> Array:
        return self.low + (self.high - self.low) * np.asarray(probabilities, dtype=np.float64)

    def cdf(self, ratios: Array) -> Array:
        return np.clip((np.asarray(ratios) - self.low) / (self.high - self.low), 0.0, 1.0)

    def quadrature(self, num: int) -> tuple[Array, Array]:
        nodes, weights = np.polynomial.legendre.leggauss(num)
        return self.quantile((nodes + 1) / 2), weights / 2


@dataclass(frozen=True)
class BetaRatio(RatioDistribution):
    """Beta(a, b) stretched from [0, 1] to [low, high]."""

    a: float
    b: float
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("a", self.a), ("b", self.b)):
            if isinstance(value, bool) or not 1e-3 <= value <= 1e4:
                raise ValueError(f"{name} must be in [0.001, 10000], got {value}.")
        _check_bounds(self.low, self.high)

    def quantile(self, probabilities: Array) -> Array:
        unit: Array = special.betaincinv(self.a, self.b, probabilities)
        return self.low + (self.high - self.low) * unit

    def cdf(self, ratios: Array) -> Array:
        unit = np.clip((np.asarray(ratios) - self.low) / (self.high - self.low), 0.0, 1.0)
        result: Array = special.betainc(self.a, self.b, unit)
        return result

    def quadrature(self, num: int) -> tuple[Array, Array]:
        nodes, weights = special.roots_jacobi(num, self.b - 1, self.a - 1)
        return self.low + (self.high - self.low) * (nodes + 1) / 2, weights / weights.sum()


@dataclass(frozen=True)
class TruncatedNormalRatio(RatioDistribution):
    """A normal cut to [low, high]; MAGE (Li et al. 2023) uses mean 0.55, sd 0.25 on [0.5, 1]."""

    mean: float  # of the normal before the cut
    sd: float
    low: float
    high: float

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high)
        _check("sd", self.sd, "be in [0.001, 100]", 1e-3 <= self.sd <= 100)
        reach = 8 * self.sd
        _check("mean", self.mean, "lie within 8 sd of [low, high]", self.low - reach < self.mean < self.high + reach)

    def _span(self) -> tuple[float, float]:
        cut = special.ndtr((np.array([self.low, self.high]) - self.mean) / self.sd)
        return float(cut[0]), float(cut[1])

    def quantile(self, probabilities: Array) -> Array:
        first, last = self._span()
        normal = special.ndtri(first + (last - first) * np.asarray(probabilities, dtype=np.float64))
        return np.clip(self.mean + self.sd * normal, self.low, self.high)

    def cdf(self, ratios: Array) -> Array:
        first, last = self._span()
        value = special.ndtr((np.asarray(ratios) - self.mean) / self.sd)
        return np.clip((value - first) / (last - first), 0.0, 1.0)

    def quadrature(self, num: int) -> tuple[Array, Array]:
        nodes, weights = UniformRatio(self.low, self.high).quadrature(num)
        density = weights * np.exp(-0.5 * ((nodes - self.mean) / self.sd) ** 2)
        return nodes, density / density.sum()


@dataclass(frozen=True)
class MixtureRatio(RatioDistribution):
    """Several distributions with weights that sum to one; scGPT: fixed 0.25, 0.5 and 0.75 alike."""

    components: tuple[RatioDistribution, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.components) < 2:
            raise ValueError(f"components must be at least two, got {len(self.components)}.")
        if len(self.weights) != len(self.components):
            raise ValueError(f"weights must be {len(self.components)}, one a component, got {len(self.weights)}.")
        if not all(weight > 0 for weight in self.weights) or abs(sum(self.weights) - 1) > 1e-9:
            raise ValueError(f"weights must be positive and sum to 1, got {list(self.weights)}.")

    def cdf(self, ratios: Array) -> Array:
        parts = [weight * part.cdf(ratios) for part, weight in zip(self.components, self.weights, strict=True)]
        return np.sum(parts, axis=0)

    def quantile(self, probabilities: Array) -> Array:
        """The least ratio whose cdf reaches the probability, by bisection to double precision."""
        wanted = np.asarray(probabilities, dtype=np.float64)
        low, high = np.zeros(wanted.shape), np.ones(wanted.shape)
        for _ in range(60):
            middle = (low + high) / 2
            enough = self.cdf(middle) >= wanted - 1e-15
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return high

    def quadrature(self, num: int) -> tuple[Array, Array]:
        rules = [part.quadrature(num) for part in self.components]
        weights = [weight * rule[1] for weight, rule in zip(self.weights, rules, strict=True)]
        return np.concatenate([rule[0] for rule in rules]), np.concatenate(weights)


def _check_bounds(low: float, high: float) -> None:
    _check("low", low, "be in [0, 1)", 0 <= low < 1)
    _check("high", high, "be in (low, 1]", low < high <= 1)


@dataclass(frozen=True)
class LinearSchedule:
    """The law moves to `to` in a straight line, level by level, between two points of training progress."""

    to: RatioDistribution
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= 1:
            raise ValueError(f"start and end must satisfy 0 <= start < end <= 1, got {self.start} and {self.end}.")

    def table(self, ratio: RatioDistribution, num: int, progress: float) -> Array:
        """Levels at a training progress in [0, 1]: quantiles interpolated (the Wasserstein geodesic)."""
        share = self._share(float(np.clip((progress - self.start) / (self.end - self.start), 0.0, 1.0)))
        return (1 - share) * ratio.levels(num) + share * self.to.levels(num)

    def _share(self, progress: float) -> float:
        return progress


class CosineSchedule(LinearSchedule):
    """As linear, but slow at both ends."""

    def _share(self, progress: float) -> float:
        return (1 - math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class StepwiseSchedule:
    """The law is replaced by to[i] when training progress reaches at[i]."""

    at: tuple[float, ...]
    to: tuple[RatioDistribution, ...]

    def __post_init__(self) -> None:
        if len(self.at) != len(self.to):
            raise ValueError(f"to must be {len(self.at)} laws, one a point of at, got {len(self.to)}.")
        ordered = (0.0, *self.at, 1.0)
        if not all(a < b for a, b in zip(ordered, ordered[1:], strict=False)):
            raise ValueError(f"at must rise strictly within (0, 1), got {list(self.at)}.")

    def table(self, ratio: RatioDistribution, num: int, progress: float) -> Array:
        """Levels at a training progress in [0, 1]."""
        passed = sum(progress >= point for point in self.at)
        return (ratio, *self.to)[passed].levels(num)


Schedule = LinearSchedule | CosineSchedule | StepwiseSchedule

# The tags that recipes and checkpoints use.
DISTRIBUTIONS: dict[str, type[RatioDistribution]] = {
    "fixed": FixedRatio,
    "uniform": UniformRatio,
    "beta": BetaRatio,
    "truncated_normal": TruncatedNormalRatio,
    "mixture": MixtureRatio,
}
SCHEDULES: dict[str, type[LinearSchedule] | type[StepwiseSchedule]] = {
    "linear": LinearSchedule,
    "cosine": CosineSchedule,
    "stepwise": StepwiseSchedule,
}


@dataclass(frozen=True)
class MaskLaw:
    """How much is hidden: a distribution, who shares a draw (scope), and how it moves over training.

    levels: equally likely ratios that train, 1 to 64; bounds the number of lengths that are ever compiled.
    scope: "step", one draw a step and the same on all ranks, or "sample".
    """

    ratio: RatioDistribution
    levels: int = 8
    scope: Literal["step", "sample"] = "step"
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.levels <= 64:
            raise ValueError(f"levels must be in [1, 64], got {self.levels}.")
        if self.scope not in ("step", "sample"):
            raise ValueError(f"scope must be step or sample, got {self.scope!r}.")

    def table(self, progress: float = 0.0) -> Array:
        """The equally likely ratios at a training progress in [0, 1], (levels,) float64."""
        if self.schedule is None:
            return self.ratio.levels(self.levels)
        return self.schedule.table(self.ratio, self.levels, progress)

    def to_dict(self) -> dict[str, Any]:
        """The law in a recipe's words, ready for JSON."""
        return {
            "ratio": distribution_to_dict(self.ratio),
            "levels": self.levels,
            "scope": self.scope,
            "schedule": schedule_to_dict(self.schedule),
        }


def distribution_to_dict(ratio: RatioDistribution) -> dict[str, Any]:
    """{tag: fields}, as in a recipe."""
    return _tagged(ratio, DISTRIBUTIONS)


def schedule_to_dict(schedule: Schedule | None) -> dict[str, Any] | None:
    """{tag: fields}, as in a recipe; None stays None."""
    return None if schedule is None else _tagged(schedule, SCHEDULES)


def _tagged(value: Any, tags: dict[str, Any]) -> dict[str, Any]:
    tag = next(name for name, kind in tags.items() if type(value) is kind)
    return {tag: {field.name: _plain(getattr(value, field.name)) for field in fields(value)}}


def _plain(value: Any) -> Any:
    if isinstance(value, RatioDistribution):
        return distribution_to_dict(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
