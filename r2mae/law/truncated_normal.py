"""The truncated normal distribution of the mask ratio."""

import math
from dataclasses import dataclass

import numpy as np

from r2mae.law.checks import check, check_bounds
from r2mae.law.distribution import Floats, RatioDistribution, stretch


@dataclass(frozen=True)
class TruncatedNormalRatio(RatioDistribution):
    """A normal distribution truncated to [low, high].

    mean, sd: of the normal before truncation; `mean_ratio` is the mean after it.
    MAGE (Li et al. 2023) uses mean 0.55 and sd 0.25 on [0.5, 1].
    """

    mean: float
    sd: float
    low: float
    high: float

    def __post_init__(self) -> None:
        check("mean", self.mean, "be in [0, 1]", lambda mean: 0 <= mean <= 1)
        check("sd", self.sd, "be in [0.001, 1]", lambda sd: 1e-3 <= sd <= 1)
        check_bounds(self.low, self.high)
        reach = 8 * self.sd  # further out the interval has no probability in float64
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
        """(side, normal cdf at side x low, normal cdf at side x high)."""
        from scipy import special

        # Near 1 a cdf loses digits. Mirroring by side -1 keeps both values near 0.
        side = -1.0 if self.mean < (self.low + self.high) / 2 else 1.0
        first, last = special.ndtr(
            side * (np.array([self.low, self.high]) - self.mean) / self.sd
        )
        return side, float(first), float(last)

    def _quadrature(self, num: int) -> tuple[Floats, Floats]:
        from scipy import special

        # A few Gauss-Legendre nodes can all miss a narrow peak, so a fine rule over the
        # peak is condensed to num nodes.
        low, high = (self.low - self.mean) / self.sd, (self.high - self.mean) / self.sd
        peak = min(max(low, 0.0), high)
        # Beyond `reach` the density is below exp(-40) of its peak.
        reach = math.sqrt(peak**2 + 81)
        low, high = max(low, -reach), min(high, reach)
        points, weights = special.roots_legendre(128 + 2 * num)
        normal = stretch((points + 1) / 2, low, high)
        nodes, weights = _condense(
            points, weights * np.exp((peak**2 - normal**2) / 2), num
        )
        return self.mean + self.sd * stretch((nodes + 1) / 2, low, high), weights


def _condense(points: Floats, density: Floats, num: int) -> tuple[Floats, Floats]:
    """The Gauss rule of a discrete distribution on many points: nodes, weights (num,).

    Source: Lanczos on diag(points), then the eigenvectors of its tridiagonal matrix
    (Golub and Welsch 1969); Gautschi 2004, Orthogonal Polynomials, section 2.2.3.
    """
    vectors = np.zeros((num, len(points)))
    vectors[0] = np.sqrt(density / density.sum())
    for row in range(1, num):
        following = points * vectors[row - 1]
        for _ in range(
            2
        ):  # once is not enough: rounding leaves the vectors not orthogonal
            following = following - (vectors[:row] @ following) @ vectors[:row]
        vectors[row] = following / np.linalg.norm(following)
    nodes, rotation = np.linalg.eigh((vectors * points) @ vectors.T)
    return nodes, np.square(rotation[0])
