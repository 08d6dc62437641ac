"""Recommend a mask-ratio law for a data set, with uncertainty bands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from numpy.typing import ArrayLike

from r2mae.advice.candidates import FIXED_RATIOS
from r2mae.advice.ramp import ScheduleChoice, best_ramps
from r2mae.advice.scenario import (
    Scenario,
    TargetRisks,
    Uncertainty,
    objective_of,
)
from r2mae.advice.solution import Solution, solve
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
    objective: "downstream" where all ratios weigh alike in the loss, "reconstruction" where
        all masked tokens do.
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
    objective: Objective
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
    objective: Objective | None = None,
    uncertainty: Uncertainty | None = None,
    num_targets: int = 8,
    bootstrap: int = 10,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Advice:
    """Recommend a law for token values (n, T, P), or (n, d) with one feature per token.

    law: the recipe's, to be compared.
    objective: how the loss weighs the ratios of all laws; by default as the scope and the
        weight of the recipe's law do.
    num_rows: samples of the training set, default n.
    num_targets: tokens to predict, drawn with the seed.
    bootstrap: half-samples for the bands.
    progress: called with (done, total) half-samples.

    Raises: InputError for data that breaks a rule.
    Source: docs/theory.md, "From data" and "How to read the advice".
    """
    uncertainty = uncertainty or Uncertainty()
    if objective is None:
        objective = objective_of(law)
    solution = solve(
        tokens,
        [law.ratio],
        num_rows=num_rows,
        objective=objective,
        uncertainty=uncertainty,
        num_targets=num_targets,
        bootstrap=bootstrap,
        seed=seed,
        progress=progress,
    )
    return _summarise(solution, law, uncertainty, objective)


def _summarise(
    solution: Solution, law: MaskLaw, uncertainty: Uncertainty, objective: Objective
) -> Advice:
    """The advice on the recipe's law, which is the last of the solution's laws."""
    full, features = solution.full, solution.features
    results = [full, *solution.halves]
    return Advice(
        num_rows=solution.num_rows,
        num_features=solution.num_features,
        num_tokens=len(features.leading),
        explained=features.explained,
        shrinkage=solution.shrunk.shrinkage,
        held_out_gain=solution.shrunk.gain,
        no_advice=solution.no_advice,
        best_fixed=full.best_fixed,
        best_fixed_band=solution.best_fixed_band(),
        masking_gain=full.masking_gain,
        objective=objective,
        law=law.ratio,
        law_acts_like=effective_ratio(law.ratio, objective),
        law_excess=float(full.excess[-1]),
        law_excess_band=solution.excess_band(-1),
        **_choices(solution),
        schedules=best_ramps(
            results, solution.laws, uncertainty.train_times, objective
        ),
        curves=_curves(full.targets, uncertainty.sample_factors, objective),
        warnings=solution.warnings(is_scheduled=law.schedule is not None),
    )


def _choices(solution: Solution) -> dict[str, Choice]:
    """The recipe's law, and the laws of least regret, by their names in `Advice`."""
    full, num_fixed = solution.full, len(FIXED_RATIOS)
    indices = {
        "law_regret": len(solution.laws) - 1,
        "least_expected": int(full.expected[:-1].argmin()),
        "least_worst": int(full.worst[:-1].argmin()),
        "least_expected_fixed": int(full.expected[:num_fixed].argmin()),
        "least_expected_uniform": num_fixed + int(full.expected[num_fixed:-1].argmin()),
    }
    return {
        name: Choice(
            solution.laws[index],
            float(full.expected[index]),
            float(full.worst[index]),
            solution.expected_band(index),
            solution.worst_band(index),
        )
        for name, index in indices.items()
    }


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
