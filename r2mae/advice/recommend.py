"""Which mask-ratio law for this data: four answers to four questions, each with a band over half-samples.

Half of the samples, drawn without replacement, spread like the full estimate does (the half-sample bootstrap of
McCarthy 1969); the ordinary bootstrap repeats samples, which shifts a shrunk covariance more than it spreads it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from r2mae.advice.features import Floats, TokenFeatures, shrink, whiten_tokens
from r2mae.advice.scenario import PHASES, Uncertainty, World
from r2mae.law import (
    FixedRatio,
    LinearSchedule,
    MaskLaw,
    RatioDistribution,
    UniformRatio,
)
from r2mae.theory import effective_ratio
from r2mae.theory.prediction import Objective

_GRID = np.round(np.arange(0.02, 0.961, 0.02), 2)  # of fixed ratios
_ENDS = np.round(np.arange(0.05, 0.951, 0.1), 2)  # of uniform laws
_RAMPS = (
    0.02,
    0.04,
    0.06,
    0.1,
    0.14,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    0.96,
)  # ends of ramps
_BAND = (5, 95)


@dataclass(frozen=True)
class Choice:
    """A law, the mean and the greatest of its regrets, and bands (low, high) of both.

    Regret: excess risk over that of the fixed ratio that is best in the same scenario, less 1.
    """

    law: RatioDistribution
    expected: float
    worst: float
    expected_band: tuple[float, float]
    worst_band: tuple[float, float]


@dataclass(frozen=True)
class ScheduleChoice:
    """A straight ramp between two fixed ratios, and the share of the best constant law's excess risk it saves."""

    train_time: float
    start: float
    end: float
    best_constant: RatioDistribution
    gain: float
    gain_band: tuple[float, float]


@dataclass(frozen=True)
class Advice:
    """Everything `r2mae theory recommend` prints. Risks are shares of a target's variance."""

    num_rows: int
    num_features: int
    num_tokens: int
    explained: float
    shrinkage: float
    held_out_gain: float
    best_fixed: float
    best_fixed_band: tuple[float, float]
    law: RatioDistribution
    law_acts_like: float
    law_excess: float
    law_excess_band: tuple[float, float]
    law_regret: Choice
    least_expected: Choice
    least_worst: Choice
    least_expected_fixed: Choice
    least_expected_uniform: Choice
    schedules: list[ScheduleChoice]
    curves: dict[
        str, list[float]
    ]  # fixed ratios, and excess risk at each sample factor
    warnings: list[str]


def recommend(
    tokens: ArrayLike,
    law: MaskLaw,
    *,
    num_rows: int | None = None,
    objective: Objective = "reconstruction",
    uncertainty: Uncertainty | None = None,
    num_targets: int = 8,
    bootstrap: int = 10,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Advice:
    """Advice for token values (n, T, P), or (n, d) where each feature hides alone, and a law to be judged.

    num_rows: samples that will train; default n. Raises: InputError for data that breaks a rule.
    Source: docs/theory.md, "From data" and "How to read the advice".
    """
    features = whiten_tokens(tokens)
    uncertainty = uncertainty or Uncertainty()
    rows = len(features.values) if num_rows is None else num_rows
    rng = np.random.default_rng(seed)
    targets = rng.choice(
        features.leading, size=min(num_targets, len(features.leading)), replace=False
    ).tolist()
    shrunk = shrink(features)
    laws = _candidates(law.ratio)
    results = []
    for number in range(bootstrap + 1):
        if progress is not None:
            progress(number, bootstrap + 1)
        half = rng.permutation(len(features.values))[: len(features.values) // 2]
        sampled = shrunk if number == 0 else shrink(features, half, check=False)
        results.append(
            _Result(
                World(sampled.covariance, features, rows, targets),
                laws,
                uncertainty,
                objective,
            )
        )
    if progress is not None:
        progress(bootstrap + 1, bootstrap + 1)
    own, again = results[0], results[1:] or results[:1]
    fixed = len(_GRID)
    uniforms = range(fixed, len(laws) - 1)
    best_fixed = float(_GRID[own.nominal[:fixed].argmin()])

    def choice(index: int) -> Choice:
        expected, worst = float(own.expected[index]), float(own.worst[index])
        bands = (
            _band([r.expected[index] for r in again], expected),
            _band([r.worst[index] for r in again], worst),
        )
        return Choice(laws[index], expected, worst, *bands)

    return Advice(
        num_rows=rows,
        num_features=features.values.shape[1],
        num_tokens=len(features.leading),
        explained=features.explained,
        shrinkage=shrunk.shrinkage,
        held_out_gain=shrunk.gain,
        best_fixed=best_fixed,
        best_fixed_band=_band(
            [float(_GRID[result.nominal[:fixed].argmin()]) for result in again]
        ),
        law=law.ratio,
        law_acts_like=effective_ratio(law.ratio, objective),
        law_excess=own.law_excess,
        law_excess_band=_band([result.law_excess for result in again], own.law_excess),
        law_regret=choice(len(laws) - 1),
        least_expected=choice(int(own.expected[:-1].argmin())),
        least_worst=choice(int(own.worst[:-1].argmin())),
        least_expected_fixed=choice(int(own.expected[:fixed].argmin())),
        least_expected_uniform=choice(
            min(uniforms, key=lambda index: own.expected[index])
        ),
        schedules=_schedules(results, laws, uncertainty, objective),
        curves=_curves(own.world, uncertainty, objective),
        warnings=_warn(
            features,
            shrunk.covariance,
            shrunk.gain,
            rows,
            law.schedule is not None,
            best_fixed,
        ),
    )


class _Result:
    """Risks of all candidates in one world."""

    def __init__(
        self,
        world: World,
        laws: list[RatioDistribution],
        uncertainty: Uncertainty,
        goal: Objective,
    ) -> None:
        self.world = world
        table = world.table(laws, uncertainty, goal)
        best = table[: len(_GRID)].min(axis=0)
        regret = table / best - 1
        self.expected, self.worst = regret.mean(axis=1), regret.max(axis=1)
        only = Uncertainty((1.0,), (0.0,), (1.0,), (math.inf,))
        self.nominal = world.table(laws, only, goal)[:, 0]
        self.law_excess = float(self.nominal[-1] / self.nominal[: len(_GRID)].min() - 1)


def _candidates(own: RatioDistribution) -> list[RatioDistribution]:
    """Fixed ratios first, then uniform laws, the recipe's own last."""
    uniform = [
        UniformRatio(float(low), float(high))
        for low in _ENDS
        for high in _ENDS
        if low < high
    ]
    return [*(FixedRatio(float(ratio)) for ratio in _GRID), *uniform, own]


def _schedules(
    results: list["_Result"],
    laws: list[RatioDistribution],
    uncertainty: Uncertainty,
    objective: Objective,
) -> list[ScheduleChoice]:
    """The best straight ramp at each finite training time, full input at test time."""
    still = [(ratio, ratio) for ratio in _GRID]
    pairs = np.array([*still, *((start, end) for start in _RAMPS for end in _RAMPS)])
    share = (np.arange(PHASES) + 0.5) / PHASES
    ratios = pairs[:, :1] * (1 - share) + pairs[:, 1:] * share  # (L, P)
    choices = []
    for time in uncertainty.train_times:
        if math.isinf(time):
            continue  # where training runs to its end, the last ratio alone decides
        only = Uncertainty((1.0,), (0.0,), (1.0,), (time,))
        # A fixed ratio's moments are the same among masks that hide the target.
        moving = [
            result.world.excess(1 - ratios, (1 - ratios) ** 2, 1.0, 1.0, 0.0, time)
            for result in results
        ]
        staying = [
            result.world.table(laws, only, objective)[:, 0] for result in results
        ]
        best, constant = int(moving[0].argmin()), int(staying[0].argmin())
        gains = [
            float(1 - move[best] / stay.min())
            for move, stay in zip(moving, staying, strict=True)
        ]
        start, end = map(float, pairs[best])
        choices.append(
            ScheduleChoice(
                time,
                start,
                end,
                laws[constant],
                gains[0],
                _band(gains[1:] or gains, gains[0]),
            )
        )
    return choices


def _curves(
    world: World, uncertainty: Uncertainty, objective: Objective
) -> dict[str, list[float]]:
    curves = {"ratio": _GRID.tolist()}
    fixed: list[RatioDistribution | MaskLaw] = [
        FixedRatio(float(ratio)) for ratio in _GRID
    ]
    for factor in uncertainty.sample_factors:
        only = replace(
            uncertainty,
            sample_factors=(factor,),
            test_ratios=(0.0,),
            noise_factors=(1.0,),
        )
        only = replace(only, train_times=(math.inf,))
        curves[f"{factor:g}"] = world.table(fixed, only, objective)[:, 0].tolist()
    return curves


def _warn(
    features: TokenFeatures,
    covariance: Floats,
    gain: float,
    num_rows: float,
    is_scheduled: bool,
    best_fixed: float,
) -> list[str]:
    """Where the theory is loose for this data."""
    dim = len(covariance)
    top = float(np.linalg.eigvalsh(covariance)[-1])
    rules = (
        (
            dim < 50,
            f"d = {dim} is small: the equations hold for large d, gaps of 10 % were seen at d = 50",
        ),
        (num_rows < 50, f"N = {num_rows:g} is small: gaps of 10 % were seen at N = 50"),
        (
            top > dim / 20,
            f"one direction holds {top / dim:.0%} of the variance: with fresh masks the equations stay close, "
            "with one mask a row use leading_factors=1",
        ),
        (
            not gain > 0,
            "on held-out samples the covariance is no better than independent features: use more samples",
        ),
        (
            features.explained < 0.9,
            f"the features carry {features.explained:.0%} of the data's variance: finer structure is not seen",
        ),
        (
            best_fixed == _GRID[0],
            f"{best_fixed:g} is the least ratio tried: with this many samples the linear model wants next to no masks, "
            "and masks as regularisation are all it knows (docs/theory.md, what it cannot say)",
        ),
        (
            is_scheduled,
            "the recipe's law is scheduled: it was judged by its distribution at the start",
        ),
    )
    return [text for holds, text in rules if holds]


def _band(values: list[float], around: float | None = None) -> tuple[float, float]:
    """5 to 95 % of values; around: where their mean is put, since covariances of half the samples are biased."""
    low, high = np.percentile(values, _BAND)
    shift = 0.0 if around is None else around - float(np.mean(values))
    return float(low) + shift, float(high) + shift


def linear_schedule(choice: ScheduleChoice) -> tuple[FixedRatio, LinearSchedule]:
    """The ramp in a recipe's words: mask.ratio and mask.schedule."""
    return FixedRatio(choice.start), LinearSchedule(FixedRatio(choice.end))
