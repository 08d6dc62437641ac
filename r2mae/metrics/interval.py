"""A mean and how far to trust it."""

import math

import numpy as np
import numpy.typing as npt

from r2mae.metrics._checks import as_floats


def mean_interval(values: npt.ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """(mean, half width) of the two-sided Student t interval over values (N,), in the units of values.

    One value says nothing of its spread: its half width is nan.

    Raises: ValueError unless values are finite, at least one, and confidence lies in (0, 1).
    Source: Student 1908; half width = t(N - 1, (1 + confidence) / 2) x s / sqrt(N), s^2 divided by N - 1.
    """
    from scipy.special import stdtrit

    array = as_floats("values", values, 1)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence!r}. It is a fraction, mostly 0.95.")
    if len(array) == 1:
        return float(array[0]), math.nan
    error = array.std(ddof=1) / math.sqrt(len(array))
    return float(np.mean(array)), float(stdtrit(len(array) - 1, (1 + confidence) / 2) * error)
