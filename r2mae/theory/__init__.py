"""Predicted test risk of a mask-ratio law, before anything is trained. numpy and scipy, float64; no torch.

Source: the derivation in docs/theory.md.
"""

from r2mae.theory.prediction import Prediction, effective_ratio, excess_risk, predict
from r2mae.theory.problem import Problem, Spectrum, build_problem, regress_on_others

__all__ = [
    "Prediction",
    "Problem",
    "Spectrum",
    "build_problem",
    "effective_ratio",
    "excess_risk",
    "predict",
    "regress_on_others",
]
