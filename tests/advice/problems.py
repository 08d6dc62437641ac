"""A small problem of the linear theory: correlated features, each a token."""

import numpy as np

from r2mae.advice.features import whiten_tokens
from r2mae.advice.scenario import TargetRisks
from r2mae.theory import build_covariance


def small_problem(num_rows=60, size=12):
    """Risks of predicting 2 of 12 features, as if num_rows samples were trained on."""
    draw = np.random.default_rng(0).standard_normal((200, size))
    root = np.linalg.cholesky(build_covariance("ar1:0.5", size))
    features = whiten_tokens(draw @ root.T)
    covariance = np.corrcoef(features.values.T)
    return TargetRisks(covariance, features, num_rows, [3, 8])
