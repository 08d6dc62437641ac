"""Excess risks of many laws over many scenarios, for one covariance: the table that all advice is read from.

L: laws  S: scenarios
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from r2mae.advice.features import Floats, TokenFeatures
from r2mae.law import MaskLaw, RatioDistribution
from r2mae.theory import Spectrum, build_problem
from r2mae.theory.prediction import Objective
from r2mae.theory.remasked import RemaskedRisk, visible_moments

PHASES = 8  # of a schedule


@dataclass(frozen=True)
class Uncertainty:
    """What is not known when a law is chosen; the scenarios are all combinations, equally likely.

    sample_factors: of the number of samples. test_ratios: hidden at test time. noise_factors: of what other tokens
    leave unexplained. train_times: of gradient flow, inf for training to the end.
    """

    sample_factors: tuple[float, ...] = (0.25, 1.0, 4.0)
    test_ratios: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)
    noise_factors: tuple[float, ...] = (1.0, 2.0)
    train_times: tuple[float, ...] = (4.0, 32.0, math.inf)

    def scenarios(self) -> list[tuple[float, float, float, float]]:
        """(sample factor, noise factor, test ratio, train time), (S,)."""
        fields = (
            self.sample_factors,
            self.noise_factors,
            self.test_ratios,
            self.train_times,
        )
        return list(itertools.product(*fields))


@dataclass
class World:
    """Targets to predict from other tokens, under one covariance: the leading component of some tokens.

    Source: docs/theory.md, "From data".
    """

    covariance: Floats
    features: TokenFeatures
    num_rows: float
    targets: Sequence[int]
    _risks: dict[tuple[float, float], list[RemaskedRisk]] = field(default_factory=dict)

    def risks(self, sample_factor: float, noise_factor: float) -> list[RemaskedRisk]:
        """One a target."""
        key = (sample_factor, noise_factor)
        if key not in self._risks:
            rows = max(self.num_rows * sample_factor, 1.0)
            self._risks[key] = [
                RemaskedRisk(
                    build_problem(spectrum, aligned, noise * noise_factor), rows
                )
                for spectrum, aligned, noise in self._regressions()
            ]
        return self._risks[key]

    def _regressions(self) -> list[tuple[Spectrum, Floats, float]]:
        if not hasattr(self, "_solved"):
            self._solved = [self._regression(target) for target in self.targets]
        return self._solved

    def _regression(self, target: int) -> tuple[Spectrum, Floats, float]:
        others = np.flatnonzero(self.features.tokens != self.features.tokens[target])
        values, vectors = np.linalg.eigh(self.covariance[np.ix_(others, others)])
        values = np.maximum(values, 1e-12)
        values *= len(values) / values.sum()
        cross = vectors.T @ self.covariance[others, target]
        aligned = cross / values
        return Spectrum(values), aligned, max(1.0 - float(cross @ aligned), 1e-6)

    def excess(
        self,
        visible: Floats,
        visible_squared: Floats,
        sample_factor: float,
        noise_factor: float,
        test_ratio: float,
        train_time: float,
    ) -> Floats:
        """Mean excess risk over targets of phases (L, P) of equal length, (L,)."""
        durations = np.full(visible.shape, train_time / visible.shape[1])
        each = [
            risk.of(risk.filter(visible, visible_squared, durations), test_ratio)
            for risk in self.risks(sample_factor, noise_factor)
        ]
        return np.asarray(np.mean(each, axis=0))

    def table(
        self,
        laws: Sequence[RatioDistribution | MaskLaw],
        uncertainty: Uncertainty,
        objective: Objective,
    ) -> Floats:
        """Excess risk of laws that stay as they are, (L, S)."""
        moments = np.array([visible_moments(law, objective) for law in laws])
        columns = [
            self.excess(moments[:, :1], moments[:, 1:], samples, noise, test, time)
            for samples, noise, test, time in uncertainty.scenarios()
        ]
        return np.stack(columns, axis=1)
