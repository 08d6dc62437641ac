"""Warnings where the linear theory is inaccurate, or silent, for a data set."""

from dataclasses import dataclass

import numpy as np

from r2mae.advice.candidates import FIXED_RATIOS
from r2mae.advice.features import Floats

_SMALL = 50  # features or samples at which gaps of 10 % were measured
_MANY = 10  # samples per feature, from which the limit of many samples holds
_DOMINANT = 1 / 20  # share of the variance in one direction
_ENOUGH_VARIANCE = 0.9
_LEAST_GAIN = 5e-4  # nats per feature; less is printed as 0


@dataclass(frozen=True)
class Facts:
    """What the warnings depend on.

    gain: of `Shrunk`. explained: of `TokenFeatures`.
    """

    covariance: Floats  # (d, d)
    num_rows: float
    gain: float
    explained: float
    is_scheduled: bool


def find_warnings(facts: Facts) -> list[str]:
    """One line for each reason to trust the advice less."""
    return [text for holds, text in (*_size(facts), *_data(facts)) if holds]


def reason_against(best_fixed: float, num_rows: float, num_features: int) -> str | None:
    """Why there is no advice: the best ratio is the lowest or the highest tried, else None."""
    at_edge = f"the best fixed ratio is {best_fixed:g}"
    if best_fixed == FIXED_RATIOS[0]:
        return (
            f"{at_edge}, the least ratio tried: with N = {num_rows:,g} samples for "
            f"d = {num_features} features the linear model gains nothing from masks "
            '(docs/theory.md, "Many more samples than features")'
        )
    if best_fixed == FIXED_RATIOS[-1]:
        return (
            f"{at_edge}, the greatest ratio tried: with N = {num_rows:,g} samples the "
            "linear model hardly predicts a token from the others"
        )
    return None


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
            facts.num_rows >= _MANY * dim,
            f"N = {facts.num_rows:,g} is {facts.num_rows / dim:.0f} times d = {dim}: in "
            "the linear model the best ratio then goes to 0 as 1/N, whatever the data. "
            "It says nothing about which ratio teaches a network good features "
            '(docs/theory.md, "Many more samples than features")',
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
            not facts.gain >= _LEAST_GAIN,
            "on held-out samples the covariance is no better than independent features: "
            "use more samples",
        ),
        (
            facts.explained < _ENOUGH_VARIANCE,
            f"the features carry {facts.explained:.0%} of the data's variance: "
            "finer structure is ignored",
        ),
        (
            facts.is_scheduled,
            "the recipe's law has a schedule: only its initial distribution was judged",
        ),
    ]
