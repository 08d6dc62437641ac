"""Mixtures of mask-ratio distributions."""

from dataclasses import dataclass

import numpy as np

from r2mae.law.checks import is_number
from r2mae.law.distribution import Floats, RatioDistribution, check_distribution


@dataclass(frozen=True)
class MixtureRatio(RatioDistribution):
    """A mixture of distributions with weights that sum to 1.

    scGPT uses fixed ratios 0.25, 0.5 and 0.75 with equal weights.
    """

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
                f"weights must be {len(self.components)}, one per component, "
                f"got {len(self.weights)}."
            )
        positive = all(is_number(weight) and weight > 0 for weight in self.weights)
        if not positive or abs(sum(self.weights) - 1) > 1e-9:
            raise ValueError(
                f"weights must be positive and sum to 1, got {list(self.weights)}."
            )

    def _quantile(self, u: Floats) -> Floats:
        # Bisection between the components' quantiles. The upper end converges exactly
        # to an atom, the ratio of a fixed component.
        each = np.stack([part.quantile(u) for part in self.components])
        low = least = each.min(axis=0)
        high = each.max(axis=0)
        # Rounding of summed weights must not move u across a gap between components.
        target = u - 1e-15 * (u < 1)
        # 100 steps reach neighbouring doubles from any two ratios above 1e-14.
        for _ in range(100):
            middle = (low + high) / 2
            enough = self.cdf(middle) >= target
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.asarray(
            np.where(self.cdf(least) >= target, least, high), dtype=np.float64
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
