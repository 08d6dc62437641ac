"""The isotropic model, ridgeless, one fixed ratio and one mask a row: what the equations must reduce to."""

import math


def isotropic_excess_risk(
    num_features: int,
    num_rows: float,
    mask_ratio: float,
    *,
    signal: float = 1.0,
    noise_variance: float = 0.0,
) -> float:
    """Excess risk on full input for S = I and |b|^2 = signal; inf where num_rows = num_features.

    Source: docs/theory.md, "The isotropic model". Raises: ValueError for a ratio outside [0, 1).
    """
    if not 0 <= mask_ratio < 1:
        raise ValueError(f"mask_ratio must be in [0, 1), got {mask_ratio}.")
    aspect, hidden = num_features / num_rows, noise_variance + mask_ratio * signal
    if aspect == 1:
        return math.inf
    if aspect > 1:
        return signal * (1 - 1 / aspect) + hidden / ((1 - mask_ratio) * (aspect - 1))
    return hidden * aspect / ((1 - mask_ratio) * (1 - aspect))
