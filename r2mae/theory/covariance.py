"""Covariances by name, as on the command line: identity, ar1:0.9, equicorrelated:0.5, blocks:25:0.8, or FILE.npy."""

from pathlib import Path

import numpy as np

from r2mae.theory.problem import Floats, check_covariance

_KNOWN = "identity, ar1:R, equicorrelated:R, blocks:SIZE:R or a .npy file"


def build_covariance(words: str, num_features: int | None = None) -> Floats:
    """(d, d), variances 1 for the named ones. Raises: ValueError for other words and unreadable files."""
    if words.endswith(".npy"):
        return _load(Path(words), num_features)
    name, *values = words.split(":")
    if name not in ("identity", "ar1", "equicorrelated", "blocks"):
        raise ValueError(f"covariance must be {_KNOWN}, got {words}.")
    if num_features is None or num_features < 1:
        raise ValueError(
            f"num_features must be at least 1 for {words}, got {num_features}."
        )
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        raise ValueError(f"covariance must be {_KNOWN}, got {words}.") from None
    if len(numbers) != {"identity": 0, "blocks": 2}.get(name, 1):
        raise ValueError(f"covariance must be {_KNOWN}, got {words}.")
    if name == "identity":
        return np.eye(num_features)
    correlation = numbers[-1]
    if not 0 <= correlation < 1:
        raise ValueError(
            f"the correlation of {name} must be in [0, 1), got {correlation:g}."
        )
    places = np.arange(num_features)
    if name == "ar1":
        return np.asarray(correlation ** np.abs(places[:, None] - places))
    size = num_features if name == "equicorrelated" else numbers[0]
    if size < 1 or size != int(size):
        raise ValueError(
            f"the size of blocks must be a whole number from 1, got {size:g}."
        )
    block = places // int(size)
    return np.where(block[:, None] == block, correlation, 0.0) + (
        1 - correlation
    ) * np.eye(num_features)


def _load(path: Path, num_features: int | None) -> Floats:
    try:
        matrix = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = (
            error.strerror
            if isinstance(error, OSError) and error.strerror
            else "not an array of numpy"
        )
        raise ValueError(
            f"{path} must be a .npy file with a matrix, got: {reason}."
        ) from None
    try:
        checked = check_covariance(matrix)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if num_features not in (None, len(checked)):
        raise ValueError(
            f"{path} must have num_features {num_features}, got {len(checked)}."
        )
    return checked
