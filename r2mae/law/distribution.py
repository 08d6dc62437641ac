"""Distributions of mask ratios: quantiles for what trains, Gauss rules for what the theory reads. numpy only.

A ratio is always the fraction hidden. Every table is float64 and a pure function of the law.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from r2mae.law.checks import check, check_bounds, check_count, is_number

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
        check_count("num", num)
        nodes, weights = self._quadrature(num)
        return nodes, weights / weights.sum()

    def levels(self, num: int) -> Floats:
        """The equally likely ratios that train, quantile((i + 1/2) / num), (num,) ascending.

        A fixed ratio gives one level whatever num is. Raises: ValueError unless num is at least 1.
        """
        check_count("num", num)
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
        check("ratio", self.ratio, "be in (0, 1)", lambda ratio: 0 < ratio < 1)

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
        check_bounds(self.low, self.high)

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
            check(
                name,
                value,
                "be in [0.001, 1000]",
                lambda shape: 1e-3 <= shape <= 1e3,
                is_ratio=False,
            )
        check_bounds(self.low, self.high)

    def _quantile(self, u: Floats) -> Floats:
        from scipy import special

        return _stretch(special.betaincinv(self.a, self.b, u), self.low, self.high)

    def _cdf(self, p: Floats) -> Floats:
        from scipy import special

        return np.asarray(
            special.betainc(self.a, self.b, _shrink(p, self.low, self.high)),
            dtype=np.float64,
        )

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
        check("mean", self.mean, "be in [0, 1]", lambda mean: 0 <= mean <= 1)
        check("sd", self.sd, "be in [0.001, 1]", lambda sd: 1e-3 <= sd <= 1)
        check_bounds(self.low, self.high)
        reach = 8 * self.sd  # further out, nothing of the normal is left to be cut
        near = self.low - reach <= self.mean <= self.high + reach
        check("mean", self.mean, "be within 8 sd of [low, high]", lambda _: near)

    def _quantile(self, u: Floats) -> Floats:
        from scipy import special

        side, first, last = self._cut()
        normal = side * special.ndtri(first + (last - first) * u)
        return np.asarray(
            np.clip(self.mean + self.sd * normal, self.low, self.high), dtype=np.float64
        )

    def _cdf(self, p: Floats) -> Floats:
        from scipy import special

        side, first, last = self._cut()
        area = special.ndtr(side * (p - self.mean) / self.sd)
        return np.asarray(
            np.clip((area - first) / (last - first), 0.0, 1.0), dtype=np.float64
        )

    def _cut(self) -> tuple[float, float, float]:
        """(side, cdf at side x low, cdf at side x high): seen from the side where tails lose no digits."""
        from scipy import special

        side = -1.0 if self.mean < (self.low + self.high) / 2 else 1.0
        first, last = special.ndtr(
            side * (np.array([self.low, self.high]) - self.mean) / self.sd
        )
        return side, float(first), float(last)

    def _quadrature(self, num: int) -> tuple[Floats, Floats]:
        from scipy import special

        # Few Gauss-Legendre nodes can all miss a narrow peak: a fine rule over it is condensed to num nodes.
        low, high = (self.low - self.mean) / self.sd, (self.high - self.mean) / self.sd
        peak = min(max(low, 0.0), high)
        reach = math.sqrt(
            peak**2 + 81
        )  # past it the density is below exp(-40) of its peak
        low, high = max(low, -reach), min(high, reach)
        points, weights = special.roots_legendre(128 + 2 * num)
        normal = _stretch((points + 1) / 2, low, high)
        nodes, weights = _condense(
            points, weights * np.exp((peak**2 - normal**2) / 2), num
        )
        return self.mean + self.sd * _stretch((nodes + 1) / 2, low, high), weights


@dataclass(frozen=True)
class MixtureRatio(RatioDistribution):
    """Several distributions with weights that sum to one; scGPT: fixed 0.25, 0.5 and 0.75 alike."""

    components: tuple[RatioDistribution, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.components) < 2:
            raise ValueError(
                f"components must be at least two, got {len(self.components)}."
            )
        for part in self.components:
            check_distribution("components", part)
        if len(self.weights) != len(self.components):
            raise ValueError(
                f"weights must be {len(self.components)}, one a component, got {len(self.weights)}."
            )
        positive = all(is_number(weight) and weight > 0 for weight in self.weights)
        if not positive or abs(sum(self.weights) - 1) > 1e-9:
            raise ValueError(
                f"weights must be positive and sum to 1, got {list(self.weights)}."
            )

    def _quantile(self, u: Floats) -> Floats:
        # Bisection between the components' quantiles; the upper end converges on atoms exactly.
        each = np.stack([part.quantile(u) for part in self.components])
        low = least = each.min(axis=0)
        high = each.max(axis=0)
        reached = u - 1e-15 * (
            u < 1
        )  # rounding of summed weights must not carry u across a gap
        for _ in range(
            100
        ):  # enough to meet at neighbouring doubles from any two ratios above 1e-14
            middle = (low + high) / 2
            enough = self.cdf(middle) >= reached
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.asarray(
            np.where(self.cdf(least) >= reached, least, high), dtype=np.float64
        )

    def _cdf(self, p: Floats) -> Floats:
        total = np.zeros(np.shape(p))
        for part, weight in zip(self.components, self._shares(), strict=True):
            total = total + weight * part.cdf(p)
        return total

    def _quadrature(self, num: int) -> tuple[Floats, Floats]:
        rules = [part.quadrature(num) for part in self.components]
        weights = [
            share * rule[1] for share, rule in zip(self._shares(), rules, strict=True)
        ]
        return np.concatenate([rule[0] for rule in rules]), np.concatenate(weights)

    def _shares(self) -> list[float]:
        return [weight / sum(self.weights) for weight in self.weights]


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


def check_distribution(name: str, value: Any) -> None:
    """Raise ValueError unless value is a `RatioDistribution`."""
    if not isinstance(value, RatioDistribution):
        raise ValueError(
            f"{name} must be a distribution such as FixedRatio(0.75), got {value}."
        )
