"""Recommend a mask-ratio law for a data set, with uncertainty bands."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from r2mae.advice.candidates import (
    FIXED_RATIOS,
    GRID_STEP,
    CandidateRisks,
    candidate_laws,
)
from r2mae.advice.features import Shrunk, TokenFeatures, shrink, whiten_tokens
from r2mae.advice.half_samples import band, half_sample_covariances
from r2mae.advice.limits import Facts, find_warnings, reason_against
from r2mae.advice.ramp import ScheduleChoice, best_ramps
from r2mae.advice.scenario import Scenario, TargetRisks, Uncertainty
from r2mae.law import FixedRatio, MaskLaw, RatioDistribution
from r2mae.theory import Objective, effective_ratio


@dataclass(frozen=True)
class Choice:
    """A law with the mean and the maximum of its regret over scenarios.

    Regret: excess risk over that of the fixed ratio that is best in the same scenario,
    minus 1. Bands: 90 % intervals from half-samples.
    """

    law: RatioDistribution
    expected: float
    worst: float
    expected_band: tuple[float, float]
    worst_band: tuple[float, float]


@dataclass(frozen=True)
class Advice:
    """Everything that `r2mae theory recommend` prints.

    num_rows, num_features, num_tokens: N, d and T.
    explained, shrinkage, held_out_gain: see `TokenFeatures` and `Shrunk`.
    no_advice: why the answers do not apply to this data; None where they do.
    best_fixed: fixed ratio of least excess risk at the default `Scenario`.
    masking_gain: 1 - its excess risk / that without masks.
    law: the recipe's. law_acts_like: the fixed ratio it is equivalent to.
    law_excess: its excess risk over that of best_fixed, minus 1.
    curves: "ratio" -> fixed ratios; a sample factor -> excess risk at each of them, in
        units of a target's variance.
    """

    num_rows: int
    num_features: int
    num_tokens: int
    explained: float
    shrinkage: float
    held_out_gain: float
    no_advice: str | None
    best_fixed: float
    best_fixed_band: tuple[float, float]
    masking_gain: float
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
    curves: dict[str, list[float]]
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
    """Recommend a law for token values (n, T, P), or (n, d) with one feature per token.

    law: the recipe's, to be compared.
    num_rows: samples of the training set, default n.
    num_targets: tokens to predict, drawn with the seed.
    bootstrap: half-samples for the bands.
    progress: called with (done, total) half-samples.

    Raises: InputError for data that breaks a rule.
    Source: docs/theory.md, "From data" and "How to read the advice".
    """
    features = whiten_tokens(tokens)
    uncertainty = uncertainty or Uncertainty()
    rows = len(features.values) if num_rows is None else num_rows
    rng = np.random.default_rng(seed)
    targets = _draw_targets(features, num_targets, rng)
    shrunk = shrink(features)
    laws = candidate_laws(law.ratio)
    results = []
    covariances = half_sample_covariances(features, shrunk, bootstrap, rng)
    for number, covariance in enumerate(covariances):
        if progress is not None:
            progress(number, bootstrap + 1)
        risks = TargetRisks(covariance, features, rows, targets)
        results.append(CandidateRisks(risks, laws, uncertainty.scenarios(), objective))
    if progress is not None:
        progress(bootstrap + 1, bootstrap + 1)
    return _summarise(features, shrunk, law, laws, results, uncertainty, objective)


def _draw_targets(
    features: TokenFeatures, count: int, rng: np.random.Generator
) -> list[int]:
    size = min(count, len(features.leading))
    targets: list[int] = rng.choice(features.leading, size=size, replace=False).tolist()
    return targets


def _summarise(
    features: TokenFeatures,
    shrunk: Shrunk,
    law: MaskLaw,
    laws: list[RatioDistribution],
    results: Sequence[CandidateRisks],
    uncertainty: Uncertainty,
    objective: Objective,
) -> Advice:
    """The advice from the results of the full sample, and bands from the half-samples."""
    full, halves = results[0], results[1:] or results[:1]
    dim = features.values.shape[1]
    return Advice(
        num_rows=full.targets.num_rows,
        num_features=dim,
        num_tokens=len(features.leading),
        explained=features.explained,
        shrinkage=shrunk.shrinkage,
        held_out_gain=shrunk.gain,
        no_advice=reason_against(full.best_fixed, full.targets.num_rows, dim),
        best_fixed=full.best_fixed,
        best_fixed_band=_ratio_band(full, halves),
        masking_gain=full.masking_gain,
        law=law.ratio,
        law_acts_like=effective_ratio(law.ratio, objective),
        law_excess=full.law_excess,
        law_excess_band=_excess_band(full, halves),
        **_choices(laws, full, halves),
        schedules=best_ramps(results, laws, uncertainty.train_times, objective),
        curves=_curves(full.targets, uncertainty.sample_factors, objective),
        warnings=find_warnings(
            Facts(
                covariance=shrunk.covariance,
                num_rows=full.targets.num_rows,
                gain=shrunk.gain,
                explained=features.explained,
                is_scheduled=law.schedule is not None,
            )
        ),
    )


def _ratio_band(
    full: CandidateRisks, halves: Sequence[CandidateRisks]
) -> tuple[float, float]:
    """Of the best fixed ratio, which is known to half a step of the grid at best."""
    ratios = [half.best_fixed for half in halves]
    return band(full.best_fixed, ratios, resolution=GRID_STEP / 2, limits=(0.0, 1.0))


def _excess_band(
    full: CandidateRisks, halves: Sequence[CandidateRisks]
) -> tuple[float, float]:
    excesses = [half.law_excess for half in halves]
    return band(full.law_excess, excesses, limits=(0.0, math.inf))


def _choices(
    laws: Sequence[RatioDistribution],
    full: CandidateRisks,
    halves: Sequence[CandidateRisks],
) -> dict[str, Choice]:
    """The recipe's law, and the laws of least regret, by their names in `Advice`."""
    num_fixed = len(FIXED_RATIOS)
    indices = {
        "law_regret": len(laws) - 1,
        "least_expected": int(full.expected[:-1].argmin()),
        "least_worst": int(full.worst[:-1].argmin()),
        "least_expected_fixed": int(full.expected[:num_fixed].argmin()),
        "least_expected_uniform": num_fixed + int(full.expected[num_fixed:-1].argmin()),
    }
    choices = {}
    for name, index in indices.items():
        expected, worst = float(full.expected[index]), float(full.worst[index])
        of_halves = [float(half.expected[index]) for half in halves]
        expected_band = band(expected, of_halves, limits=(0.0, math.inf))
        of_halves = [float(half.worst[index]) for half in halves]
        worst_band = band(worst, of_halves, limits=(0.0, math.inf))
        choices[name] = Choice(laws[index], expected, worst, expected_band, worst_band)
    return choices


def _curves(
    targets: TargetRisks, sample_factors: Sequence[float], objective: Objective
) -> dict[str, list[float]]:
    """Excess risk at each fixed ratio, by sample factor; see `Advice.curves`."""
    curves = {"ratio": FIXED_RATIOS.tolist()}
    fixed = [FixedRatio(float(ratio)) for ratio in FIXED_RATIOS]
    for factor in sample_factors:
        scenario = Scenario(sample_factor=factor)
        risks = targets.table(fixed, [scenario], objective)[:, 0]
        curves[f"{factor:g}"] = risks.tolist()
    return curves
