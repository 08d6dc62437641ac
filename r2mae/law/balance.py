"""Cost of unbalanced ranks: a step takes as long as its slowest rank.

Scope "step" gives all ranks the same mask ratio, so none of them waits for another.
"""

from collections.abc import Sequence

import numpy as np


def expected_maximum(costs: Sequence[float], ranks: int) -> float:
    """Expected maximum of `ranks` independent draws from equally likely costs (K,).

    Source: order statistics; P(maximum <= k-th smallest) = (k / K)^ranks.
    """
    ordered = np.sort(np.asarray(costs, dtype=np.float64))
    share = np.arange(len(ordered) + 1) / len(ordered)
    cdf_of_maximum = share**ranks
    return float(ordered @ np.diff(cdf_of_maximum))
