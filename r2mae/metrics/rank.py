"""Effective rank of features (RankMe)."""

import numpy as np
import numpy.typing as npt

from r2mae.metrics._checks import as_floats


def effective_rank(features: npt.ArrayLike) -> float:
    """RankMe of features (N, D), in [1, min(N, D)]: exp of the entropy of the singular values over their sum.

    The features are NOT centred: a large common mean counts as one strong direction and lowers the value.
    Features that are all zero have rank 0.

    Raises: ValueError unless features are finite with two axes.
    Source: Garrido et al. 2023 (arXiv:2210.02885); Roy and Vetterli 2007.
    Differs: no 1e-7 is added to the probabilities; 0 log 0 is 0.
    """
    array = as_floats("features", features, 2)
    peak = np.abs(array).max()
    if peak == 0:
        return 0.0
    singular = np.linalg.svd(array / peak, compute_uv=False)
    share = singular / singular.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))
