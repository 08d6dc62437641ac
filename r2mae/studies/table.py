"""Measurements of a study as arrays over laws and seeds.

Shapes: S seeds, M test items.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.law import FixedRatio
from r2mae.studies.measurement import Better, Measurements
from r2mae.studies.plan import Study, Trial
from r2mae.studies.trial import is_finished, measurements_of

Floats = npt.NDArray[np.float64]
Variant = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Metric:
    """One measurement of every law.

    values: law -> (S,).
    items: law -> (S, M); empty where items are not measured apart.
    """

    name: str
    better: Better
    values: dict[str, Floats]
    items: dict[str, Floats]

    @property
    def sign(self) -> float:
        """1 where higher is better, else -1."""
        return 1.0 if self.better == "higher" else -1.0

    def best_of(self, laws: list[str]) -> str:
        """The law of the best mean."""
        return max(laws, key=lambda law: self.sign * float(self.values[law].mean()))


@dataclass(frozen=True)
class Table:
    """Measurements of all laws in one variant, for the seeds that every law has.

    fixed: laws of one ratio -> that ratio.
    """

    variant: Variant
    seeds: tuple[int, ...]
    laws: tuple[str, ...]
    fixed: dict[str, float]
    metrics: dict[str, Metric]

    @property
    def title(self) -> str:
        """The values of the further axes, as text."""
        return ", ".join(f"{key} {value}" for key, value in self.variant)

    @property
    def random(self) -> list[str]:
        """Laws that are not fixed at one ratio."""
        return [law for law in self.laws if law not in self.fixed]


def build_tables(study: Study) -> list[Table]:
    """A table for each variant in which every law has a finished seed."""
    trials = [trial for trial in study.trials if is_finished(study, trial)]
    measured = {trial.name: measurements_of(study, trial) for trial in trials}
    tables = []
    for variant in study.variants:
        here = [trial for trial in trials if trial.variant == variant]
        seeds = _common_seeds(here, list(study.section.laws))
        if seeds:
            tables.append(_table(here, variant, seeds, measured))
    return tables


def _common_seeds(trials: list[Trial], laws: list[str]) -> tuple[int, ...]:
    """Seeds that every law has."""
    seeds_of: dict[str, set[int]] = {law: set() for law in laws}
    for trial in trials:
        seeds_of[trial.law].add(trial.seed)
    return tuple(sorted(set.intersection(*seeds_of.values())))


def _table(
    trials: list[Trial],
    variant: Variant,
    seeds: tuple[int, ...],
    measured: dict[str, Measurements],
) -> Table:
    kept = {(trial.law, trial.seed): trial for trial in trials if trial.seed in seeds}
    laws = tuple(dict.fromkeys(law for law, _ in kept))
    names = measured[next(iter(kept.values())).name]
    metrics = {}
    for name, example in names.items():
        values, items = {}, {}
        for law in laws:
            each = [measured[kept[law, seed].name][name] for seed in seeds]
            values[law] = np.array([one.value for one in each])
            if example.items is not None:
                rows: list[Any] = [one.items for one in each]
                items[law] = np.stack(rows).astype(np.float64)
        metrics[name] = Metric(name, example.better, values, items)
    fixed = {law: _fixed_ratio(kept[law, seeds[0]]) for law in laws}
    ratios = {law: ratio for law, ratio in fixed.items() if ratio is not None}
    return Table(variant, seeds, laws, ratios, metrics)


def _fixed_ratio(trial: Trial) -> float | None:
    """The ratio of a law that has only one; None for others."""
    law = trial.recipe.mask.law
    is_fixed = isinstance(law.ratio, FixedRatio) and law.schedule is None
    return law.ratio.ratio if is_fixed else None  # type: ignore[attr-defined]
