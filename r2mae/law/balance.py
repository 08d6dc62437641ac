"""What balanced draws save: all ranks hide the same share at a step, so none of them waits for another."""

from collections.abc import Sequence

import numpy as np


def expected_greatest(costs: Sequence[float], ranks: int) -> float:
    """Mean of the greatest of `ranks` independent draws from equally likely costs (K,), exactly.

    Source: order statistics; P(greatest <= k-th least) = (k / K)^ranks.
    """
    ordered = np.sort(np.asarray(costs, dtype=np.float64))
    below = (np.arange(len(ordered) + 1) / len(ordered)) ** ranks
    return float(ordered @ np.diff(below))
