"""Covariance matrices by name, as on the command line.

identity, ar1:R, equicorrelated:R, blocks:SIZE:R (R a correlation), or FILE.npy.
"""

from pathlib import Path

import numpy as np

from r2mae.theory.basis import Floats
from r2mae.theory.problem import check_covariance

_CHOICES = "identity, ar1:R, equicorrelated:R, blocks:SIZE:R or a .npy file"
_NUM_PARAMETERS = {"identity": 0, "ar1": 1, "equicorrelated": 1, "blocks": 2}


def build_covariance(name: str, num_features: int | None = None) -> Floats:
    """The covariance (d, d) of a name such as `ar1:0.9`, or of a .npy file.

    Named ones have variances 1. num_features: d; a file may leave it out.

    Raises: ValueError for an unknown name, a bad parameter or an unreadable file.
    """
    if name.endswith(".npy"):
        return _load(Path(name), num_features)
    family, parameters = _parse(name)
    if num_features is None or num_features < 1:
        raise ValueError(
            f"num_features must be at least 1 for {name}, got {num_features}."
        )
    if family == "identity":
        return np.eye(num_features)
    correlation = parameters[-1]
    if not 0 <= correlation < 1:
        raise ValueError(
            f"the correlation of {family} must be in [0, 1), got {correlation:g}."
        )
    index = np.arange(num_features)
    if family == "ar1":
        return np.asarray(correlation ** np.abs(index[:, None] - index))
    # Equicorrelated features are one block.
    size = num_features if family == "equicorrelated" else parameters[0]
    if size < 1 or size != int(size):
        raise ValueError(
            f"the size of blocks must be a whole number from 1, got {size:g}."
        )
    block = index // int(size)
    within = np.where(block[:, None] == block, correlation, 0.0)
    return within + (1 - correlation) * np.eye(num_features)


def _parse(name: str) -> tuple[str, list[float]]:
    """The family and the numbers of `family:number:..`."""
    family, *texts = name.split(":")
    try:
        parameters = [float(text) for text in texts]
    except ValueError:
        raise ValueError(f"covariance must be {_CHOICES}, got {name}.") from None
    if len(parameters) != _NUM_PARAMETERS.get(family):
        raise ValueError(f"covariance must be {_CHOICES}, got {name}.")
    return family, parameters


def _load(path: Path, num_features: int | None) -> Floats:
    try:
        matrix = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "not a numpy array"
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
