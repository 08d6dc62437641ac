"""Closed form of the excess risk: isotropic features, ridgeless, one fixed ratio."""

import math


def isotropic_excess_risk(
    num_features: int,
    num_rows: float,
    mask_ratio: float,
    *,
    signal: float = 1.0,
    noise_variance: float = 0.0,
) -> float:
    """Excess risk on full input for S = I and |b|^2 = signal.

    One mask per row. It is inf at the double-descent peak, num_rows = num_features.

    Raises: ValueError for a ratio outside [0, 1).
    Source: docs/theory.md, "The isotropic model".
    """
    if not 0 <= mask_ratio < 1:
        raise ValueError(f"mask_ratio must be in [0, 1), got {mask_ratio}.")
    aspect = num_features / num_rows
    # What is hidden of the signal acts as noise for the visible features.
    noise = noise_variance + mask_ratio * signal
    if aspect == 1:
        return math.inf
    if aspect > 1:
        return signal * (1 - 1 / aspect) + noise / ((1 - mask_ratio) * (aspect - 1))
    return noise * aspect / ((1 - mask_ratio) * (1 - aspect))
