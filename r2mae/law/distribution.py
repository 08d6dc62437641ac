"""Distributions of the mask ratio: quantiles for training, Gauss rules for the theory.

A ratio is always the fraction hidden. Tables are float64 and depend on the law alone.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from r2mae.law.checks import check, check_bounds, check_count

# scipy.special is imported where it is called: it loads slowly, and most laws do not
# need it.

Floats = NDArray[np.float64]


class RatioDistribution(ABC):
    """A distribution of mask ratios on [0, 1]; subclasses are frozen dataclasses."""

    # pydantic reads this when it validates a recipe: unknown keys and text in place of
    # numbers are errors.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}

    def quantile(self, u: ArrayLike) -> Floats:
        """The smallest ratio whose cdf is at least u, same shape as u.

        Raises: ValueError unless 0 <= u <= 1.
        """
        probability = np.asarray(u, dtype=np.float64)
        if not np.all((probability >= 0) & (probability <= 1)):
            raise ValueError(f"u must be in [0, 1], got {probability.tolist()}.")
        return self._quantile(probability)

    def cdf(self, p: ArrayLike) -> Floats:
        """Probability of a ratio of at most p, same shape as p."""
        return self._cdf(np.asarray(p, dtype=np.float64))

    def quadrature(self, num: int) -> tuple[Floats, Floats]:
        """The law's Gauss rule: nodes (K,) and weights (K,) that sum to 1.

        It is exact for polynomials up to degree 2 num - 1. K is num, except for a fixed
        ratio (1) and a mixture (the sum over its components).

        Raises: ValueError unless num is a whole number of at least 1.
        """
        check_count("num", num)
        nodes, weights = self._quadrature(num)
        return nodes, weights / weights.sum()

    def levels(self, num: int) -> Floats:
        """Equally likely ratios for training, quantile((i + 1/2) / num), (num,) ascending.

        A fixed ratio has one level for any num.

        Raises: ValueError unless num is a whole number of at least 1.
        """
        check_count("num", num)
        return _levels(self, num).copy()

    @property
    def mean_ratio(self) -> float:
        """Mean of the continuous distribution."""
        # The node of a one-node Gauss rule is the mean.
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
    # Cached: training needs the levels at every step, and those of a mixture take a
    # bisection.
    return ratio.quantile((np.arange(num) + 0.5) / num)


@dataclass(frozen=True)
class FixedRatio(RatioDistribution):
    """A constant mask ratio, as in MAE (0.75) and BERT (0.15)."""

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
        """One level, (1,), for any num.

        Raises: ValueError unless num is a whole number of at least 1.
        """
        return super().levels(num)[:1]


@dataclass(frozen=True)
class UniformRatio(RatioDistribution):
    """Uniform on [low, high], as in R²MAE."""

    low: float
    high: float

    def __post_init__(self) -> None:
        check_bounds(self.low, self.high)

    def _quantile(self, u: Floats) -> Floats:
        return stretch(u, self.low, self.high)

    def _cdf(self, p: Floats) -> Floats:
        return shrink(p, self.low, self.high)

    def _quadrature(self, num: int) -> tuple[Floats, Floats]:
        nodes, weights = np.polynomial.legendre.leggauss(num)
        return stretch((nodes + 1) / 2, self.low, self.high), weights


@dataclass(frozen=True)
class BetaRatio(RatioDistribution):
    """Beta(a, b), density p^(a-1) (1-p)^(b-1), scaled from [0, 1] to [low, high]."""

    a: float
    b: float
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("a", self.a), ("b", self.b)):
            # Beyond these bounds the normaliser of scipy's Gauss-Jacobi rule overflows.
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

        return stretch(special.betaincinv(self.a, self.b, u), self.low, self.high)

    def _cdf(self, p: Floats) -> Floats:
        from scipy import special

        return np.asarray(
            special.betainc(self.a, self.b, shrink(p, self.low, self.high)),
            dtype=np.float64,
        )

    def _quadrature(self, num: int) -> tuple[Floats, Floats]:
        from scipy import special

        nodes, weights = special.roots_jacobi(num, self.b - 1, self.a - 1)
        return stretch((nodes + 1) / 2, self.low, self.high), weights


def stretch(unit: Floats, low: float, high: float) -> Floats:
    """Map [0, 1] onto [low, high]; both ends are exact, unlike in low + unit * width."""
    return (1 - unit) * low + unit * high


def shrink(p: Floats, low: float, high: float) -> Floats:
    """Map [low, high] onto [0, 1], clipped."""
    return np.clip((p - low) / (high - low), 0.0, 1.0)


def check_distribution(name: str, value: Any) -> None:
    """Raise ValueError unless value is a `RatioDistribution`."""
    if not isinstance(value, RatioDistribution):
        raise ValueError(
            f"{name} must be a distribution such as FixedRatio(0.75), got {value}."
        )
