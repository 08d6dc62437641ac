"""A mean and how far to trust it."""

import math

import numpy as np
import numpy.typing as npt

from r2mae.metrics._checks import as_floats


def mean_interval(
    values: npt.ArrayLike, confidence: float = 0.95
) -> tuple[float, float]:
    """(mean, half width) of the two-sided Student t interval over values (N,), in the units of values.

    One value says nothing of its spread: its half width is nan.

    Raises: ValueError unless values are finite, at least one, and confidence lies in (0, 1).
    Source: Student 1908; half width = t(N - 1, (1 + confidence) / 2) x s / sqrt(N), s^2 divided by N - 1.
    """
    from scipy.special import stdtrit

    array = as_floats("values", values, 1)
    if not 0 < confidence < 1:
        raise ValueError(
            f"confidence must be in (0, 1), got {confidence!r}. It is a fraction, mostly 0.95."
        )
    if len(array) == 1:
        return float(array[0]), math.nan
    error = array.std(ddof=1) / math.sqrt(len(array))
    return float(np.mean(array)), float(
        stdtrit(len(array) - 1, (1 + confidence) / 2) * error
    )


def share_interval(
    hits: npt.ArrayLike, confidence: float = 0.95
) -> tuple[float, float]:
    """(share, half width) of hits (N,), each 0 or 1: how far the share of all items like these may lie away.

    Symmetric, and wide enough to hold Wilson's interval, so that N hits of N are not taken for certainty; near 0
    and 1 it covers more often than it says.

    Raises: ValueError unless hits are 0 or 1, at least one, and confidence lies in (0, 1).
    Source: Wilson 1927, the score interval of a binomial share.
    Differs: the half width reaches the further of its two ends.
    """
    from scipy.special import ndtri

    array = as_floats("hits", np.asarray(hits).astype(np.float64), 1)
    if not 0 < confidence < 1:
        raise ValueError(
            f"confidence must be in (0, 1), got {confidence!r}. It is a fraction, mostly 0.95."
        )
    if not np.isin(array, (0, 1)).all():
        raise ValueError(
            "hits must be 0 or 1, got other numbers. Compare predictions with labels first."
        )
    size, share = len(array), float(array.mean())
    square = float(ndtri((1 + confidence) / 2)) ** 2 / size
    centre = (share + square / 2) / (1 + square)
    reach = math.sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    return share, abs(centre - share) + reach
