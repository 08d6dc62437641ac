"""Uncertainty bands from random halves of the samples.

Half of the samples, drawn without replacement, spread as the full estimate does (the
half-sample bootstrap of McCarthy 1969). The ordinary bootstrap repeats samples, which
shifts a shrunk covariance more than it spreads it.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from r2mae.advice.features import Floats, Shrunk, TokenFeatures, shrink

_PERCENTILES = (5, 95)


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


def band(values: Sequence[float], around: float | None = None) -> tuple[float, float]:
    """5th and 95th percentile of values.

    around: shifts the band so that the mean of the values lies there. Covariances of
    half the samples give biased values, with the right spread.
    """
    low, high = np.percentile(values, _PERCENTILES)
    shift = 0.0 if around is None else around - float(np.mean(values))
    return float(low) + shift, float(high) + shift
