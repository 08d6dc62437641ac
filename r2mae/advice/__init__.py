"""A recipe's data -> the linear theory -> a proposed mask-ratio law."""

from r2mae.advice.picture import check_picture_path, draw_advice, draw_curves
from r2mae.advice.recommend import (
    Advice,
    Choice,
    ScheduleChoice,
    linear_schedule,
    recommend,
)
from r2mae.advice.scenario import Uncertainty

__all__ = [
    "Advice",
    "Choice",
    "ScheduleChoice",
    "Uncertainty",
    "check_picture_path",
    "draw_advice",
    "draw_curves",
    "linear_schedule",
    "recommend",
]
