"""Uncertainty bands from random halves of the samples.

Half of the samples, drawn without replacement, spread as the full estimate does (the
half-sample bootstrap of McCarthy 1969). The ordinary bootstrap repeats samples, which
changes a shrunk covariance more by bias than by spread.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from r2mae.advice.features import Floats, Shrunk, TokenFeatures, shrink


def half_sample_covariances(
    features: TokenFeatures, full: Shrunk, count: int, rng: np.random.Generator
) -> Iterator[Floats]:
    """The covariance of all samples, then `count` of random halves, each (d, d)."""
    num_samples = len(features.values)
    for number in range(count + 1):
        # The unused first draw keeps the bands of a seed reproducible.
        half = rng.permutation(num_samples)[: num_samples // 2]
        sampled = full if number == 0 else shrink(features, half, check=False)
        yield sampled.covariance


def band(
    estimate: float,
    halves: Sequence[float],
    *,
    resolution: float = 0.0,
    limits: tuple[float, float] = (-math.inf, math.inf),
    confidence: float = 0.9,
) -> tuple[float, float]:
    """Symmetric interval around the estimate from all samples.

    Its half-width is a quantile, by default 0.9, of the distance between the estimate and
    those of the halves, so that it covers their bias as well as their spread.

    halves: the same estimate from each random half.
    resolution: least half-width, for estimates chosen from a grid.
    limits: possible values; the interval ends there.

    Source: Hall 1988, On symmetric bootstrap confidence intervals.
    """
    distances = np.abs(np.asarray(halves) - estimate)
    half_width = max(float(np.quantile(distances, confidence)), resolution)
    low = min(max(estimate - half_width, limits[0]), estimate)
    high = max(min(estimate + half_width, limits[1]), estimate)
    return low, high
