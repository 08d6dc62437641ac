"""Estimates with 95 % confidence intervals, as a half-width each.

A share, such as an accuracy, has Wilson's interval (`share_interval`); the difference of
two has `share_difference_interval`. Means of losses have Student's t or, where they are
ratios of sums, its normal approximation. Every other score has a bootstrap.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

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
    hits: npt.ArrayLike,
    trials: npt.ArrayLike | None = None,
    *,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """(share, half-width) of hits among trials, by Wilson's interval.

    The half-width reaches to the further end of the interval, which is never empty:
    12 hits of 12 have one of 0.242.

    hits: (N,), each 0 or 1; with trials, whole numbers up to theirs; or (R, N), where R
        repeats, such as seeds, answer the same N items. With repeats the interval covers
        the choice of items and that of repeats.
    trials: (N,) trials of each item, such as tokens of a row; None for one each. Items
        are independent, trials of an item are not.

    Trials of an item and repeats enter by the effective sample size: the number of
    independent trials with the same variance of the share. Where all hits are equal, it
    is N.

    Raises: ValueError unless hits lie between 0 and trials, and confidence in (0, 1).
    Source: Wilson 1927; Korn and Graubard 1998 for the effective sample size;
    Satterthwaite 1946 for its quantile with few repeats.
    """
    _check_confidence(confidence)
    table, counts = _as_counts(hits, trials)
    share = float(table.sum() / (len(table) * counts.sum()))
    residuals = (table - share * counts) / counts.mean()
    variance, quantile = _variance_and_quantile(residuals, 0, confidence)
    binomial = share * (1 - share)
    size = float(len(counts))
    if binomial > 0:
        most = len(table) * counts.sum()
        size = min(binomial / variance, most) if variance > 0 else most
    return share, _wilson_half_width(share, size, quantile)


def _as_counts(
    hits: npt.ArrayLike, trials: npt.ArrayLike | None
) -> tuple[Floats, Floats]:
    """(hits (R, N), trials (N,)), checked as `share_interval` says."""
    table = np.atleast_2d(np.asarray(hits).astype(np.float64))
    if table.size == 0:
        raise ValueError("hits must hold at least 1 item, got none. Check the array.")
    counts = np.ones(table.shape[1])
    if trials is not None:
        counts = as_floats("trials", trials, 1)
    if table.shape[1] != len(counts) or not counts.sum() > 0:
        rule = f"as long as hits ({table.shape[1]}), of positive sum"
        raise ValueError(
            f"trials must be {rule}, got {len(counts)}. Pair them with hits."
        )
    if not ((table >= 0) & (table <= counts)).all():
        raise ValueError(
            "hits must be from 0 to trials, got others. Compare predictions with labels."
        )
    return table, counts


def share_difference_interval(
    hits: npt.ArrayLike, others: npt.ArrayLike, confidence: float = 0.95
) -> tuple[float, float]:
    """(difference, half-width) of two shares of the same items, hits - others.

    One item that favours each side is added for the half-width, so that two perfect
    answers to 12 items differ by 0 +- 0.2, not by 0 +- 0.

    hits, others: (N,) or (R, N), each 0 or 1, paired by item and by repeat.

    Raises: ValueError for unequal shapes.
    Source: Bonett and Price 2012 for the two added items; Satterthwaite 1946.
    """
    _check_confidence(confidence)
    first = np.atleast_2d(np.asarray(hits).astype(np.float64))
    second = np.atleast_2d(np.asarray(others).astype(np.float64))
    if first.shape != second.shape:
        raise ValueError(
            f"others must have the shape of hits, {first.shape}, got {second.shape}."
        )
    values = first - second
    variance, quantile = _variance_and_quantile(values - values.mean(), 2, confidence)
    return float(values.mean()), float(quantile * math.sqrt(variance))


def _variance_and_quantile(
    residuals: Floats, added: int, confidence: float
) -> tuple[float, float]:
    """Variance of a mean over (R, N) residuals, and the quantile for its interval.

    Items and repeats are both random: their variances add.

    added: number of further items with residuals of +1 and -1.
    """
    from scipy.special import ndtri, stdtrit

    num_repeats, num_items = residuals.shape
    size = num_items + added
    by_item = ((residuals.mean(axis=0) ** 2).sum() + added) / size**2
    tail = (1 + confidence) / 2
    if num_repeats == 1:
        return float(by_item), float(ndtri(tail))
    by_repeat = float(residuals.mean(axis=1).var(ddof=1) / num_repeats)
    total = float(by_item) + by_repeat
    if by_repeat == 0:
        return total, float(ndtri(tail))
    freedom = total**2 / (by_item**2 / size + by_repeat**2 / (num_repeats - 1))
    return total, float(stdtrit(freedom, tail))


def _wilson_half_width(share: float, size: float, quantile: float) -> float:
    """Distance from a share to the further end of Wilson's interval."""
    squared = quantile**2 / size
    centre = (share + squared / 2) / (1 + squared)
    spread = math.sqrt(share * (1 - share) * squared + squared**2 / 4) / (1 + squared)
    return max(share - (centre - spread), centre + spread - share)


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


def repeated_bootstrap(
    statistic: Callable[[Any, Any], float], repeats: Sequence[Any], expected: Any
) -> float | None:
    """95 % half-width of the mean of a statistic over repeats, such as seeds.

    That of a bootstrap over the N items, and Student's t over repeats; their squares add.
    None where both are 0, as for one item or perfect predictions: nothing is estimated.

    statistic: of predicted and expected values of the same items.
    repeats: predictions of the same items, (N, ...) each. expected: (N, ...).
    """

    def mean(rows: Integers) -> float:
        truth = expected[rows]
        return float(np.mean([statistic(repeat[rows], truth) for repeat in repeats]))

    low, high = bootstrap_interval(mean, len(expected))
    _, over_repeats = mean_interval([statistic(repeat, expected) for repeat in repeats])
    spread = 0.0 if math.isnan(over_repeats) else over_repeats
    half_width = math.hypot(float(high - low) / 2, spread)
    return half_width or None


def paired_bootstrap(
    statistic: Callable[[Any, Any], float],
    ours: Sequence[Any],
    theirs: Sequence[Any],
    expected: Any,
) -> dict[str, float | None]:
    """{difference, half_width} of a statistic, ours - theirs, paired by repeat and by item.

    As in `repeated_bootstrap`.
    """

    def difference(pair: Any, truth: Any) -> float:
        return statistic(pair[:, 0], truth) - statistic(pair[:, 1], truth)

    pairs = [np.stack(pair, axis=1) for pair in zip(ours, theirs, strict=True)]
    return {
        "difference": float(np.mean([difference(pair, expected) for pair in pairs])),
        "half_width": repeated_bootstrap(difference, pairs, expected),
    }


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
