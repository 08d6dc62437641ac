"""Predicted test risk of a mask-ratio law for linear regression, before any training.

float64 with numpy and scipy, no torch.

Source: the derivation in docs/theory.md.
"""

from r2mae.theory.closed_form import isotropic_excess_risk
from r2mae.theory.covariance import build_covariance
from r2mae.theory.mask_aware import MaskAware, mask_aware
from r2mae.theory.prediction import Prediction, excess_risk, predict
from r2mae.theory.problem import Problem, Spectrum, build_problem, regress_on_others
from r2mae.theory.setting import Objective, effective_ratio, visible_moments
from r2mae.theory.simulate import Simulation, simulate

__all__ = [
    "MaskAware",
    "Objective",
    "Prediction",
    "Problem",
    "Simulation",
    "Spectrum",
    "build_covariance",
    "build_problem",
    "effective_ratio",
    "excess_risk",
    "isotropic_excess_risk",
    "mask_aware",
    "predict",
    "regress_on_others",
    "simulate",
    "visible_moments",
]
