"""The linear theory solved for a data set, on all samples and on random halves."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from r2mae.advice.candidates import GRID_STEP, CandidateRisks, candidate_laws
from r2mae.advice.features import Shrunk, TokenFeatures, shrink, whiten_tokens
from r2mae.advice.half_samples import band, half_sample_covariances
from r2mae.advice.limits import Facts, find_warnings, reason_against
from r2mae.advice.scenario import TargetRisks, Uncertainty
from r2mae.law import RatioDistribution
from r2mae.theory import Objective

Band = tuple[float, float]
NUM_TARGETS = 8


@dataclass(frozen=True)
class Solution:
    """Risks of laws under the covariance of all samples, and of each random half.

    laws: as `candidate_laws` returns them, those to judge last.
    """

    features: TokenFeatures
    shrunk: Shrunk
    laws: list[RatioDistribution]
    full: CandidateRisks
    halves: list[CandidateRisks]

    @property
    def num_rows(self) -> int:
        """Samples of the training set, N."""
        return self.full.targets.num_rows

    @property
    def num_features(self) -> int:
        """Features of a sample, d."""
        return int(self.features.values.shape[1])

    @property
    def no_advice(self) -> str | None:
        """Why the theory gives no advice for this data; None where it does."""
        return reason_against(self.full.best_fixed, self.num_rows, self.num_features)

    def warnings(self, *, is_scheduled: bool = False) -> list[str]:
        """One line for each reason to trust the theory less.

        is_scheduled: whether the law to judge has a schedule.
        """
        facts = Facts(
            covariance=self.shrunk.covariance,
            num_rows=self.num_rows,
            gain=self.shrunk.gain,
            explained=self.features.explained,
            is_scheduled=is_scheduled,
        )
        return find_warnings(facts)

    def best_fixed_band(self) -> Band:
        """Of the best fixed ratio, which is known to half a step of the grid at best."""
        ratios = [half.best_fixed for half in self.halves]
        least = GRID_STEP / 2
        return band(self.full.best_fixed, ratios, resolution=least, limits=(0.0, 1.0))

    def expected_band(self, index: int) -> Band:
        """Of the expected regret of a law."""
        of_halves = [float(half.expected[index]) for half in self.halves]
        return _positive_band(float(self.full.expected[index]), of_halves)

    def worst_band(self, index: int) -> Band:
        """Of the worst regret of a law."""
        of_halves = [float(half.worst[index]) for half in self.halves]
        return _positive_band(float(self.full.worst[index]), of_halves)

    def excess_band(self, index: int) -> Band:
        """Of the regret of a law at the default `Scenario`."""
        of_halves = [float(half.excess[index]) for half in self.halves]
        return _positive_band(float(self.full.excess[index]), of_halves)


def _positive_band(estimate: float, halves: list[float]) -> Band:
    return band(estimate, halves, limits=(0.0, math.inf))


def solve(
    tokens: ArrayLike,
    laws: Sequence[RatioDistribution],
    *,
    num_rows: int | None = None,
    objective: Objective = "reconstruction",
    objectives: Sequence[Objective] | None = None,
    uncertainty: Uncertainty | None = None,
    num_targets: int = NUM_TARGETS,
    bootstrap: int = 10,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Solution:
    """Risks of all candidate laws, and of `laws`, on token values (n, T, P) or (n, d).

    objective: of the fixed and uniform laws. objectives: of `laws`, default the same.
    num_rows: samples of the training set, default n.
    num_targets: tokens to predict, drawn with the seed.
    bootstrap: half-samples for the bands.
    progress: called with (done, total) half-samples.

    Raises: InputError for data that breaks a rule.
    Source: docs/theory.md, "From data".
    """
    features = whiten_tokens(tokens)
    scenarios = (uncertainty or Uncertainty()).scenarios()
    rows = len(features.values) if num_rows is None else num_rows
    rng = np.random.default_rng(seed)
    targets = draw_targets(features, num_targets, rng=rng)
    shrunk = shrink(features)
    candidates = candidate_laws(laws)
    own = [objective] * len(laws) if objectives is None else list(objectives)
    each = [objective] * (len(candidates) - len(laws)) + own
    results = []
    covariances = half_sample_covariances(features, shrunk, bootstrap, rng)
    for number, covariance in enumerate(covariances):
        if progress is not None:
            progress(number, bootstrap + 1)
        risks = TargetRisks(covariance, features, rows, targets)
        results.append(CandidateRisks(risks, candidates, scenarios, each))
    if progress is not None:
        progress(bootstrap + 1, bootstrap + 1)
    return Solution(
        features, shrunk, candidates, results[0], results[1:] or results[:1]
    )


def draw_targets(
    features: TokenFeatures, count: int = NUM_TARGETS, *, rng: np.random.Generator
) -> list[int]:
    """Indices of the leading features of `count` tokens, or of all where there are fewer."""
    size = min(count, len(features.leading))
    targets: list[int] = rng.choice(features.leading, size=size, replace=False).tolist()
    return targets
