"""Warnings where the linear theory is inaccurate, or silent, for a data set."""

from dataclasses import dataclass

import numpy as np

from r2mae.advice.candidates import FIXED_RATIOS
from r2mae.advice.features import Floats

_SMALL = 50  # features or samples at which gaps of 10 % were measured
_DOMINANT = 1 / 20  # share of the variance in one direction
_ENOUGH_VARIANCE = 0.9


@dataclass(frozen=True)
class Facts:
    """What the warnings depend on.

    gain: of `Shrunk`. explained: of `TokenFeatures`. best_fixed: a ratio.
    """

    covariance: Floats  # (d, d)
    num_rows: float
    gain: float
    explained: float
    best_fixed: float
    is_scheduled: bool


def find_warnings(facts: Facts) -> list[str]:
    """One line for each reason to trust the advice less."""
    return [text for holds, text in (*_size(facts), *_data(facts)) if holds]


def _size(facts: Facts) -> list[tuple[bool, str]]:
    dim = len(facts.covariance)
    top = float(np.linalg.eigvalsh(facts.covariance)[-1])
    return [
        (
            dim < _SMALL,
            f"d = {dim} is small: the equations hold for large d, "
            f"with gaps of 10 % at d = {_SMALL}",
        ),
        (
            facts.num_rows < _SMALL,
            f"N = {facts.num_rows:g} is small: gaps of 10 % were measured at N = {_SMALL}",
        ),
        (
            top > dim * _DOMINANT,
            f"one direction holds {top / dim:.0%} of the variance: the equations stay "
            "close with fresh masks; with one mask per row use r2mae theory risk --leading-factors 1",
        ),
    ]


def _data(facts: Facts) -> list[tuple[bool, str]]:
    return [
        (
            not facts.gain > 0,
            "on held-out samples the covariance is no better than independent features: "
            "use more samples",
        ),
        (
            facts.explained < _ENOUGH_VARIANCE,
            f"the features carry {facts.explained:.0%} of the data's variance: "
            "finer structure is ignored",
        ),
        (
            facts.best_fixed == FIXED_RATIOS[0],
            f"{facts.best_fixed:g} is the least ratio tried: with this many samples the "
            "linear model needs almost no masking, because it knows masks only as "
            "regularisation (docs/theory.md, what it cannot say)",
        ),
        (
            facts.is_scheduled,
            "the recipe's law has a schedule: only its initial distribution was judged",
        ),
    ]
