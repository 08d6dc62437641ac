"""What the linear theory predicts of given laws on a data set, before any training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from numpy.typing import ArrayLike

from r2mae.advice.candidates import FIXED_RATIOS
from r2mae.advice.scenario import Uncertainty, objective_of
from r2mae.advice.solution import Band, Solution, solve
from r2mae.law import MaskLaw, RatioDistribution
from r2mae.theory import effective_ratio


@dataclass(frozen=True)
class LawPrediction:
    """The predicted risk of one law.

    expected_regret: mean over scenarios of its excess risk over that of the fixed ratio
        that is best in the same scenario, minus 1.
    expected_regret_band: 90 % interval from half-samples.
    half_sample_regrets: expected_regret on each random half of the samples.
    excess_risk: at the default `Scenario`, in units of a target's variance.
    acts_like: the fixed ratio that it is equivalent to at convergence.
    """

    expected_regret: float
    expected_regret_band: Band
    half_sample_regrets: list[float]
    excess_risk: float
    acts_like: float


@dataclass(frozen=True)
class LawPredictions:
    """Predictions for several laws, and the theory's own recommendation.

    num_rows, num_features: N and d.
    no_advice: why the theory gives no advice for this data; None where it does.
    best_fixed: fixed ratio of least excess risk at the default `Scenario`.
    least_expected: of many fixed and uniform laws, that of least expected regret.
    fixed_ratios, fixed_excess_risks: the excess risk over the mask ratio.
    laws: in the order that was given.
    """

    num_rows: int
    num_features: int
    no_advice: str | None
    best_fixed: float
    best_fixed_band: Band
    least_expected: RatioDistribution
    fixed_ratios: list[float]
    fixed_excess_risks: list[float]
    laws: list[LawPrediction]
    warnings: list[str]


def predict_laws(
    tokens: ArrayLike,
    laws: Sequence[MaskLaw],
    *,
    num_rows: int | None = None,
    uncertainty: Uncertainty | None = None,
    bootstrap: int = 10,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> LawPredictions:
    """Predict the risk of each law from token values (n, T, P), or (n, d).

    A law is judged by its distribution of ratios and the weights that its scope and
    `weight` give them in the loss. A schedule is left out of account. The other
    arguments are those of `recommend`.

    Raises: InputError for data that breaks a rule.
    Source: docs/theory.md, "From data" and "How to read the advice".
    """
    solution = solve(
        tokens,
        [law.ratio for law in laws],
        num_rows=num_rows,
        objectives=[objective_of(law) for law in laws],
        uncertainty=uncertainty,
        bootstrap=bootstrap,
        seed=seed,
        progress=progress,
    )
    full, first = solution.full, len(solution.laws) - len(laws)
    return LawPredictions(
        num_rows=solution.num_rows,
        num_features=solution.num_features,
        no_advice=solution.no_advice,
        best_fixed=full.best_fixed,
        best_fixed_band=solution.best_fixed_band(),
        least_expected=solution.laws[int(full.expected[:first].argmin())],
        fixed_ratios=FIXED_RATIOS.tolist(),
        fixed_excess_risks=full.nominal[: len(FIXED_RATIOS)].tolist(),
        laws=[
            _prediction(solution, first + number, law)
            for number, law in enumerate(laws)
        ],
        warnings=solution.warnings(),
    )


def _prediction(solution: Solution, index: int, law: MaskLaw) -> LawPrediction:
    return LawPrediction(
        expected_regret=float(solution.full.expected[index]),
        expected_regret_band=solution.expected_band(index),
        half_sample_regrets=[float(half.expected[index]) for half in solution.halves],
        excess_risk=float(solution.full.nominal[index]),
        acts_like=effective_ratio(law.ratio, objective_of(law)),
    )
