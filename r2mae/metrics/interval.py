"""Estimates with confidence intervals: means, shares, ratios of sums, paired differences and bootstraps."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from r2mae.metrics._checks import Floats, Integers, as_floats, check_count

RESAMPLES = 1000  # of a bootstrap


def mean_interval(
    values: npt.ArrayLike, confidence: float = 0.95
) -> tuple[float, float]:
    """(mean, half-width) of the two-sided Student t interval over values (N,), in the units of values.

    The half-width of a single value is nan.

    Raises: ValueError unless values are finite, at least one, and confidence lies in (0, 1).
    Source: Student 1908; half-width = t(N - 1, (1 + confidence) / 2) x s / sqrt(N), s^2 divided by N - 1.
    """
    from scipy.special import stdtrit

    array = as_floats("values", values, 1)
    _check_confidence(confidence)
    mean = float(array.mean())
    if len(array) == 1:
        return mean, math.nan
    quantile = stdtrit(len(array) - 1, (1 + confidence) / 2)
    return mean, float(quantile * _standard_error(array))


def paired_interval(
    values: npt.ArrayLike, others: npt.ArrayLike, confidence: float = 0.95
) -> tuple[float, float]:
    """(mean, half-width) of `mean_interval` over the differences values (N,) - others (N,).

    Raises: ValueError as `mean_interval`, and where the lengths differ.
    """
    first, second = as_floats("values", values, 1), as_floats("others", others, 1)
    if len(first) != len(second):
        raise ValueError(
            f"others must be as long as values ({len(first)}), got {len(second)}. Pair them."
        )
    return mean_interval(first - second, confidence)


def ratio_interval(
    numerators: npt.ArrayLike, denominators: npt.ArrayLike, confidence: float = 0.95
) -> tuple[float, float]:
    """(ratio, half-width) of sum(numerators) / sum(denominators), both (N,), over independent items.

    An example is accuracy over tokens, where whole rows of tokens are the independent items.
    The half-width is the linearised normal approximation; that of a single item is nan.

    Raises: ValueError unless all are finite, the lengths agree and the denominators have a positive sum.
    Source: Cochran 1977, Sampling Techniques, section 2.11.
    """
    from scipy.special import ndtri

    above, below = (
        as_floats("numerators", numerators, 1),
        as_floats("denominators", denominators, 1),
    )
    _check_confidence(confidence)
    if len(above) != len(below) or below.sum() <= 0:
        rule = f"as long as numerators ({len(above)}), of positive sum"
        raise ValueError(
            f"denominators must be {rule}, got {len(below)} of sum {below.sum():g}. Pair them."
        )
    ratio = float(above.sum() / below.sum())
    if len(above) == 1:
        return ratio, math.nan
    residual = (above - ratio * below) / below.mean()
    return ratio, float(ndtri((1 + confidence) / 2) * _standard_error(residual))


def share_interval(
    hits: npt.ArrayLike, confidence: float = 0.95
) -> tuple[float, float]:
    """(share, half-width) of hits (N,), each 0 or 1.

    The half-width reaches to the further end of Wilson's interval, so N hits of N still have one.
    Near 0 and 1 the interval covers the truth more often than `confidence` says.

    Raises: ValueError unless hits are 0 or 1, at least one, and confidence lies in (0, 1).
    Source: Wilson 1927, the score interval of a binomial share.
    """
    from scipy.stats import binomtest

    array = as_floats("hits", np.asarray(hits).astype(np.float64), 1)
    _check_confidence(confidence)
    if not np.isin(array, (0, 1)).all():
        raise ValueError(
            "hits must be 0 or 1, got other numbers. Compare predictions with labels first."
        )
    share = float(array.mean())
    test = binomtest(int(array.sum()), len(array))
    low, high = test.proportion_ci(confidence, method="wilson")
    return share, float(max(share - low, high - share))


def bootstrap_interval(
    statistic: Callable[[Integers], Floats | float],
    size: int,
    *,
    draws: int = RESAMPLES,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[Floats, Floats]:
    """(low, high) of the percentile bootstrap, each of the shape of the statistic.

    statistic: of `size` indices of items, drawn with replacement. It may return nan for a
    resample that has no value, one that lacks a class for example; these are left out.

    Raises: ValueError unless size is at least 1, draws at least 2, and confidence lies in (0, 1).
    Source: Efron 1979.
    """
    check_count("size", size)
    check_count("draws", draws, 2)
    _check_confidence(confidence)
    # scipy.stats.bootstrap draws the same items, but nan in one resample makes its interval nan.
    generator = np.random.default_rng(seed)
    drawn = [statistic(generator.integers(0, size, size)) for _ in range(draws)]
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(np.array(drawn), (tail, 1 - tail), axis=0)
    return low, high


def none_if_nan(half_width: float) -> float | None:
    """None for the half-width of a single item, which JSON cannot hold as nan."""
    return None if math.isnan(half_width) else half_width


def _standard_error(values: Floats) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values)))


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(
            f"confidence must be in (0, 1), got {confidence!r}. It is a fraction, mostly 0.95."
        )
