"""The normalisation of counts: log1p of counts per 10,000 of a cell."""

import numpy as np
import numpy.typing as npt

PER = 10_000.0  # library size that counts are normalised to


def log_normalize(counts: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """log1p of counts per 10,000, (n, G) -> (n, G). A cell without counts stays 0."""
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    normalized: npt.NDArray[np.float32] = np.log1p(counts * (PER / totals))
    return normalized
