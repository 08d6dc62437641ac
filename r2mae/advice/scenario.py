"""Excess risks of many laws over many scenarios, for one covariance.

All advice is read from this table.

L: laws  S: scenarios  P: phases of a schedule  d: features
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from r2mae.advice.features import Floats, TokenFeatures
from r2mae.law import FixedRatio, MaskLaw, RatioDistribution
from r2mae.theory import Objective, Spectrum, build_problem, predict, visible_moments
from r2mae.theory.remasked import RemaskedRisk

_NO_MASK = FixedRatio(1e-9)  # laws exclude 0
_LEAST_EIGENVALUE = 1e-12
_LEAST_NOISE = 1e-6  # of a target's variance: avoids risks of exactly 0


class Scenario(NamedTuple):
    """One set of conditions under which a law is judged.

    sample_factor: multiplies the number of samples.
    noise_factor: multiplies the variance that other tokens leave unexplained.
    test_ratio: share of tokens hidden at test time.
    train_time: learning rate x steps of gradient flow, inf for convergence.
    """

    sample_factor: float = 1.0
    noise_factor: float = 1.0
    test_ratio: float = 0.0
    train_time: float = math.inf


@dataclass(frozen=True)
class Uncertainty:
    """The values that each field of a `Scenario` may take, all equally likely."""

    sample_factors: tuple[float, ...] = (0.25, 1.0, 4.0)
    test_ratios: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)
    noise_factors: tuple[float, ...] = (1.0, 2.0)
    train_times: tuple[float, ...] = (4.0, 32.0, math.inf)

    def scenarios(self) -> list[Scenario]:
        """All combinations, (S,)."""
        values = (
            self.sample_factors,
            self.noise_factors,
            self.test_ratios,
            self.train_times,
        )
        return [Scenario(*combination) for combination in itertools.product(*values)]


def objective_of(law: MaskLaw) -> Objective:
    """The objective that weighs the ratios of a law as its training does.

    With fresh masks, objectives differ only in these weights: reconstruction weighs a
    ratio p by p / E[p], downstream by 1.
    """
    return "reconstruction" if law.weighs_tokens_equally else "downstream"


@dataclass
class TargetRisks:
    """Excess risks of predicting some target features from all other tokens.

    A target is the leading component of a token. Risks are in units of its variance.

    covariance: of the features, (d, d).
    num_rows: samples of the training set.
    targets: indices of the target features.

    Source: docs/theory.md, "From data".
    """

    covariance: Floats
    features: TokenFeatures
    num_rows: int
    targets: Sequence[int]
    _risks: dict[tuple[float, float], list[RemaskedRisk]] = field(default_factory=dict)

    def risks(self, sample_factor: float, noise_factor: float) -> list[RemaskedRisk]:
        """The solved problem of each target; solved once for each pair of factors."""
        key = (sample_factor, noise_factor)
        if key not in self._risks:
            rows = max(self.num_rows * sample_factor, 1.0)
            self._risks[key] = [
                RemaskedRisk(build_problem(spectrum, b, noise * noise_factor), rows)
                for spectrum, b, noise in self._regressions
            ]
        return self._risks[key]

    @cached_property
    def _regressions(self) -> list[tuple[Spectrum, Floats, float]]:
        return [self._regression(target) for target in self.targets]

    def _regression(self, target: int) -> tuple[Spectrum, Floats, float]:
        """Spectrum, coefficients in its frame and noise variance for one target."""
        others = np.flatnonzero(self.features.tokens != self.features.tokens[target])
        values, vectors = np.linalg.eigh(self.covariance[np.ix_(others, others)])
        values = np.maximum(values, _LEAST_EIGENVALUE)
        values *= len(values) / values.sum()  # features of variance 1 again
        cross = vectors.T @ self.covariance[others, target]
        coefficients = cross / values
        noise = max(1.0 - float(cross @ coefficients), _LEAST_NOISE)
        return Spectrum(values), coefficients, noise

    def excess(
        self, visible: Floats, visible_squared: Floats, scenario: Scenario
    ) -> Floats:
        """Excess risk (L,), averaged over targets.

        visible, visible_squared: E[a] and E[a^2] of the visible share in P phases of
        equal length, (L, P).
        """
        durations = np.full(visible.shape, scenario.train_time / visible.shape[1])
        per_target = []
        for risk in self.risks(scenario.sample_factor, scenario.noise_factor):
            fitted = risk.filter(visible, visible_squared, durations)
            per_target.append(risk.of(fitted, scenario.test_ratio))
        return np.asarray(np.mean(per_target, axis=0))

    def unmasked_excess(self) -> float:
        """Excess risk without masks, trained to convergence, averaged over targets."""
        risks = [
            predict(risk.problem, self.num_rows, _NO_MASK).excess_risk
            for risk in self.risks(1.0, 1.0)
        ]
        return float(np.mean(risks))

    def table(
        self,
        laws: Sequence[RatioDistribution | MaskLaw],
        scenarios: Sequence[Scenario],
        objective: Objective | Sequence[Objective],
    ) -> Floats:
        """Excess risk of laws without a schedule, (L, S).

        objective: of all laws, or of each.
        """
        objectives: Sequence[Objective] = (
            [objective] * len(laws) if isinstance(objective, str) else objective
        )
        moments = np.array(list(map(visible_moments, laws, objectives)))
        columns = [
            self.excess(moments[:, :1], moments[:, 1:], scenario)
            for scenario in scenarios
        ]
        return np.stack(columns, axis=1)
