"""Proposes a mask-ratio law for a data set by the linear theory of `r2mae.theory`."""

from r2mae.advice.candidates import is_at_edge
from r2mae.advice.law_predictions import (
    LawPrediction,
    LawPredictions,
    predict_laws,
)
from r2mae.advice.picture import check_picture_path, draw_advice, draw_curves
from r2mae.advice.ramp import ScheduleChoice, linear_schedule, touches_edge
from r2mae.advice.recommend import Advice, Choice, recommend
from r2mae.advice.scenario import Uncertainty

__all__ = [
    "Advice",
    "Choice",
    "LawPrediction",
    "LawPredictions",
    "ScheduleChoice",
    "Uncertainty",
    "check_picture_path",
    "draw_advice",
    "draw_curves",
    "is_at_edge",
    "linear_schedule",
    "predict_laws",
    "recommend",
    "touches_edge",
]
