"""The mask-ratio law: a distribution of ratios, its scope, and how it moves during training. numpy only.

What trains is the law's table of equally likely `levels`; what the theory reads is its `quadrature`.
A ratio is always the fraction hidden. Every table is float64 and a pure function of the law.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import pairwise
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

# scipy.special is imported where it is called: it loads slower than numpy, and most laws need none of it.

Floats = NDArray[np.float64]


class RatioDistribution(ABC):
    """A distribution of mask ratios on [0, 1]; subclasses are frozen dataclasses."""

    # pydantic reads this when a recipe is validated: unknown keys are refused, words are no numbers.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}

    def quantile(self, u: ArrayLike) -> Floats:
        """The least ratio whose cdf reaches u, same shape as u. Raises: ValueError unless 0 <= u <= 1."""
        wanted = np.asarray(u, dtype=np.float64)
        if not np.all((wanted >= 0) & (wanted <= 1)):
            raise ValueError(f"u must be in [0, 1], got {wanted.tolist()}.")
        return self._quantile(wanted)

    def cdf(self, p: ArrayLike) -> Floats:
        """Probability of a ratio of at most p, same shape as p."""
        return self._cdf(np.asarray(p, dtype=np.float64))

    def quadrature(self, num: int) -> tuple[Floats, Floats]:
        """Nodes (K,) and weights (K,) that sum to 1: the law's Gauss rule, exact for degree 2 num - 1.

        K is num, except for a fixed ratio (1) and a mixture (the sum over its components).
        Raises: ValueError unless num is a whole number of at least 1.
        """
        _check_count("num", num)
        nodes, weights = self._quadrature(num)
        return nodes, weights / weights.sum()

    def levels(self, num: int) -> Floats:
        """The equally likely ratios that train, quantile((i + 1/2) / num), (num,) ascending.

        A fixed ratio gives one level whatever num is. Raises: ValueError unless num is at least 1.
        """
        _check_count("num", num)
        return _levels(self, num).copy()

    @property
    def mean_ratio(self) -> float:
        """Expected ratio of the continuous law (a one-node Gauss rule is the mean)."""
        nodes, weights = self.quadrature(1)
        return float(nodes @ weights)

    @abstractmethod
    def _quantile(self, u: Floats) -> Floats: ...

    @abstractmethod
    def _cdf(self, p: Floats) -> Floats: ...

    @abstractmethod
    def _quadrature(self, num: int) -> tuple[Floats, Floats]: ...


@lru_cache(maxsize=256)
def _levels(ratio: RatioDistribution, num: int) -> Floats:
    """Kept, because training asks at every step and a mixture takes a bisection to answer."""
    return ratio.quantile((np.arange(num) + 0.5) / num)


@dataclass(frozen=True)
class FixedRatio(RatioDistribution):
    """Always the same share, as in MAE (0.75) and BERT (0.15)."""

    ratio: float

    def __post_init__(self) -> None:
        _check("ratio", self.ratio, "be in (0, 1)", lambda ratio: 0 < ratio < 1)

    def _quantile(self, u: Floats) -> Floats:
        return np.full_like(u, self.ratio)

    def _cdf(self, p: Floats) -> Floats:
        return (p >= self.ratio).astype(np.float64)

    def _quadrature(self, num: int) -> tuple[Floats, Floats]:
        return self.levels(num), np.ones(1)

    def levels(self, num: int) -> Floats:
        """One level, (1,), whatever num is. Raises: ValueError unless num is at least 1."""
        return super().levels(num)[:1]


@dataclass(frozen=True)
class UniformRatio(RatioDistribution):
    """Any share between low and high, equally likely: R²MAE."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high)

    def _quantile(self, u: Floats) -> Floats:
        return _stretch(u, self.low, self.high)

    def _cdf(self, p: Floats) -> Floats:
        return _shrink(p, self.low, self.high)

    def _quadrature(self, num: int) -> tuple[Floats, Floats]:
        nodes, weights = np.polynomial.legendre.leggauss(num)
        return _stretch((nodes + 1) / 2, self.low, self.high), weights


@dataclass(frozen=True)
class BetaRatio(RatioDistribution):
    """Beta(a, b), density p^(a-1) (1-p)^(b-1), stretched from [0, 1] to [low, high]."""

    a: float
    b: float
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("a", self.a), ("b", self.b)):
            # Past these bounds the normaliser of scipy's Gauss-Jacobi rule overflows.
            _check(name, value, "be in [0.001, 1000]", lambda shape: 1e-3 <= shape <= 1e3, is_ratio=False)
        _check_bounds(self.low, self.high)

    def _quantile(self, u: Floats) -> Floats:
        from scipy import special

        return _stretch(special.betaincinv(self.a, self.b, u), self.low, self.high)

    def _cdf(self, p: Floats) -> Floats:
        from scipy import special

        return np.asarray(special.betainc(self.a, self.b, _shrink(p, self.low, self.high)), dtype=np.float64)

    def _quadrature(self, num: int) -> tuple[Floats, Floats]:
        from scipy import special

        nodes, weights = special.roots_jacobi(num, self.b - 1, self.a - 1)
        return _stretch((nodes + 1) / 2, self.low, self.high), weights


@dataclass(frozen=True)
class TruncatedNormalRatio(RatioDistribution):
    """A normal cut to [low, high]; MAGE (Li et al. 2023) uses mean 0.55, sd 0.25 on [0.5, 1].

    mean, sd: of the normal before the cut; `mean_ratio` is the mean after it.
    """

    mean: float
    sd: float
    low: float
    high: float

    def __post_init__(self) -> None:
        _check("mean", self.mean, "be in [0, 1]", lambda mean: 0 <= mean <= 1)
        _check("sd", self.sd, "be in [0.001, 1]", lambda sd: 1e-3 <= sd <= 1)
        _check_bounds(self.low, self.high)
        reach = 8 * self.sd  # further out, nothing of the normal is left to be cut
        near = self.low - reach <= self.mean <= self.high + reach
        _check("mean", self.mean, "be within 8 sd of [low, high]", lambda _: near)

    def _quantile(self, u: Floats) -> Floats:
        from scipy import special

        side, first, last = self._cut()
        normal = side * special.ndtri(first + (last - first) * u)
        return np.asarray(np.clip(self.mean + self.sd * normal, self.low, self.high), dtype=np.float64)

    def _cdf(self, p: Floats) -> Floats:
        from scipy import special

        side, first, last = self._cut()
        area = special.ndtr(side * (p - self.mean) / self.sd)
        return np.asarray(np.clip((area - first) / (last - first), 0.0, 1.0), dtype=np.float64)

    def _cut(self) -> tuple[float, float, float]:
        """(side, cdf at side x low, cdf at side x high): seen from the side where tails lose no digits."""
        from scipy import special

        side = -1.0 if self.mean < (self.low + self.high) / 2 else 1.0
        first, last = special.ndtr(side * (np.array([self.low, self.high]) - self.mean) / self.sd)
        return side, float(first), float(last)

    def _quadrature(self, num: int) -> tuple[Floats, Floats]:
        # Few Gauss-Legendre nodes can all miss a narrow peak: a fine rule over it is condensed to num nodes.
        low, high = (self.low - self.mean) / self.sd, (self.high - self.mean) / self.sd
        peak = min(max(low, 0.0), high)
        reach = math.sqrt(peak**2 + 81)  # past it the density is below exp(-40) of its peak
        low, high = max(low, -reach), min(high, reach)
        points, weights = np.polynomial.legendre.leggauss(128 + 2 * num)
        normal = _stretch((points + 1) / 2, low, high)
        nodes, weights = _condense(points, weights * np.exp((peak**2 - normal**2) / 2), num)
        return self.mean + self.sd * _stretch((nodes + 1) / 2, low, high), weights


@dataclass(frozen=True)
class MixtureRatio(RatioDistribution):
    """Several distributions with weights that sum to one; scGPT: fixed 0.25, 0.5 and 0.75 alike."""

    components: tuple[RatioDistribution, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.components) < 2:
            raise ValueError(f"components must be at least two, got {len(self.components)}.")
        for part in self.components:
            _check_distribution("components", part)
        if len(self.weights) != len(self.components):
            raise ValueError(
                f"weights must be {len(self.components)}, one a component, got {len(self.weights)}."
            )
        positive = all(_is_number(weight) and weight > 0 for weight in self.weights)
        if not positive or abs(sum(self.weights) - 1) > 1e-9:
            raise ValueError(f"weights must be positive and sum to 1, got {list(self.weights)}.")

    def _quantile(self, u: Floats) -> Floats:
        # Bisection between the components' quantiles; the upper end converges on atoms exactly.
        each = np.stack([part.quantile(u) for part in self.components])
        low = least = each.min(axis=0)
        high = each.max(axis=0)
        reached = u - 1e-15 * (u < 1)  # rounding of summed weights must not carry u across a gap
        for _ in range(100):  # enough to meet at neighbouring doubles from any two ratios above 1e-14
            middle = (low + high) / 2
            enough = self.cdf(middle) >= reached
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.asarray(np.where(self.cdf(least) >= reached, least, high), dtype=np.float64)

    def _cdf(self, p: Floats) -> Floats:
        total = np.zeros(np.shape(p))
        for part, weight in zip(self.components, self._shares(), strict=True):
            total = total + weight * part.cdf(p)
        return total

    def _quadrature(self, num: int) -> tuple[Floats, Floats]:
        rules = [part.quadrature(num) for part in self.components]
        weights = [share * rule[1] for share, rule in zip(self._shares(), rules, strict=True)]
        return np.concatenate([rule[0] for rule in rules]), np.concatenate(weights)

    def _shares(self) -> list[float]:
        return [weight / sum(self.weights) for weight in self.weights]


@dataclass(frozen=True)
class Ramp(ABC):
    """The law moves to `to`, level by level, between two points of training progress in [0, 1].

    Interpolated quantiles are the shortest way from one law to another (the Wasserstein geodesic).
    """

    to: RatioDistribution
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        _check_distribution("to", self.to)
        _check("start", self.start, "be in [0, 1)", lambda start: 0 <= start < 1, is_ratio=False)
        _check("end", self.end, "be in (start, 1]", lambda end: self.start < end <= 1, is_ratio=False)

    def table(self, ratio: RatioDistribution, num: int, progress: float) -> Floats:
        """Levels at a training progress, (num,), or (1,) between two fixed ratios."""
        share = self._share(min(max((progress - self.start) / (self.end - self.start), 0.0), 1.0))
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
        rising = all(_is_number(b) and a < b for a, b in pairwise(ordered))
        if not self.at or not rising:
            raise ValueError(f"at must rise strictly within (0, 1), got {list(self.at)}.")
        if len(self.at) != len(self.to):
            raise ValueError(f"to must be {len(self.at)} laws, one a point of at, got {len(self.to)}.")
        for law in self.to:
            _check_distribution("to", law)

    def table(self, ratio: RatioDistribution, num: int, progress: float) -> Floats:
        """Levels at a training progress, (num,), or (1,) where a fixed ratio holds."""
        return (ratio, *self.to)[sum(progress >= point for point in self.at)].levels(num)


Schedule = LinearSchedule | CosineSchedule | StepwiseSchedule

# The tags that recipes and checkpoints use.
DISTRIBUTIONS: dict[str, type[RatioDistribution]] = {
    "fixed": FixedRatio,
    "uniform": UniformRatio,
    "beta": BetaRatio,
    "truncated_normal": TruncatedNormalRatio,
    "mixture": MixtureRatio,
}
SCHEDULES: dict[str, type[Schedule]] = {
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
        _check_distribution("ratio", self.ratio)
        _check_count("levels", self.levels, most=64)
        if self.scope not in ("step", "sample"):
            raise ValueError(f"scope must be step or sample, got {self.scope}.")
        if self.schedule is not None and not isinstance(self.schedule, Schedule):
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)} or None, got {self.schedule}.")

    def table(self, progress: float = 0.0) -> Floats:
        """The equally likely ratios at a training progress in [0, 1].

        Shape (levels,), or (1,) where only fixed ratios matter. Raises: ValueError for other progress.
        """
        _check("progress", progress, "be in [0, 1]", lambda share: 0 <= share <= 1, is_ratio=False)
        if self.schedule is None:
            return self.ratio.levels(self.levels)
        return self.schedule.table(self.ratio, self.levels, progress)

    def mean(self, progress: float = 0.0) -> float:
        """Mean of the table that trains at a progress; `ratio.mean_ratio` is that of the continuous law."""
        return float(self.table(progress).mean())

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
    return [_plain(item) for item in value] if isinstance(value, tuple) else float(value)


def _condense(points: Floats, density: Floats, num: int) -> tuple[Floats, Floats]:
    """The Gauss rule of num nodes for a discrete law on many points: nodes (num,), weights (num,).

    Source: Lanczos on diag(points), then the eigenvectors of its tridiagonal matrix (Golub and Welsch 1969);
    Gautschi 2004, Orthogonal Polynomials, section 2.2.3.
    """
    vectors = np.zeros((num, len(points)))
    vectors[0] = np.sqrt(density / density.sum())
    for row in range(1, num):
        following = points * vectors[row - 1]
        for _ in range(2):  # once more, or rounding leaves the vectors askew
            following = following - (vectors[:row] @ following) @ vectors[:row]
        vectors[row] = following / np.linalg.norm(following)
    nodes, rotation = np.linalg.eigh((vectors * points) @ vectors.T)
    return nodes, np.square(rotation[0])


def _stretch(unit: Floats, low: float, high: float) -> Floats:
    """[0, 1] onto [low, high], both ends exact."""
    return (1 - unit) * low + unit * high


def _shrink(p: Floats, low: float, high: float) -> Floats:
    """[low, high] onto [0, 1]; what lies outside goes to the nearer end."""
    return np.clip((p - low) / (high - low), 0.0, 1.0)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _check(name: str, value: Any, rule: str, holds: Callable[[float], bool], is_ratio: bool = True) -> None:
    if _is_number(value) and holds(value):
        return
    hint = ""
    if is_ratio and _is_number(value) and 1 < value <= 100:
        fraction = f"{value / 100:.2f}" if value == round(value) else f"{value / 100:g}"
        hint = f" Ratios are fractions; did you mean {fraction}?"
    shown = f"{value:.12g}" if isinstance(value, float) else value  # a recipe's 90 arrives as 90.0
    raise ValueError(f"{name} must {rule}, got {shown}.{hint}")


def _check_bounds(low: float, high: float) -> None:
    _check("low", low, "be in [0, 1)", lambda low: 0 <= low < 1)
    _check("high", high, "be in (low, 1)", lambda high: low < high <= 1)


def _check_count(name: str, value: Any, most: int = 1 << 16) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ValueError(f"{name} must be a whole number in [1, {most}], got {value}.")


def _check_distribution(name: str, value: Any) -> None:
    if not isinstance(value, RatioDistribution):
        raise ValueError(f"{name} must be a distribution such as FixedRatio(0.75), got {value}.")
