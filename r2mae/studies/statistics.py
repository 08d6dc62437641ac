"""Paired comparisons of laws: differences with intervals, corrected p-values, regret.

Runs of one seed start from the same weights and read the same samples in the same order,
so laws are compared seed by seed.

Shapes: K metrics, L laws, S seeds, M test items.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from r2mae.studies.table import Floats, Metric, Table

_CONFIDENCE = 0.95
_POWER = 0.8


@dataclass(frozen=True)
class Difference:
    """A paired difference; positive where the first is better.

    half_width: of the 95 % interval; nan for one seed.
    p_value: two-sided; nan for one seed.
    detectable: the true difference that this number of seeds finds significant with a
        power of 80 %.
    """

    mean: float
    half_width: float
    p_value: float
    detectable: float

    @property
    def verdict(self) -> str:
        """ "wins", "loses", or "ties" where the interval holds 0; "" for one seed."""
        if math.isnan(self.half_width):
            return ""
        if abs(self.mean) <= self.half_width:
            return "ties"
        return "wins" if self.mean > 0 else "loses"


NOT_MEASURED = Difference(math.nan, math.nan, math.nan, math.nan)


def paired_difference(gains: Floats, item_gains: Floats | None = None) -> Difference:
    """Mean of gains (S,), with Student's t over seeds.

    With item_gains (S, M) the variance over test items is added, so that the interval
    also holds for other items.

    Source: Student 1908. The variances of two crossed random factors add (Clark 1973).
    A percentile bootstrap of 5 seeds would cover 0.83 instead of 0.95.
    """
    from scipy import stats

    mean, num_seeds = float(gains.mean()), len(gains)
    if num_seeds < 2:
        return Difference(mean, math.nan, math.nan, math.nan)
    variance = float(gains.var(ddof=1)) / num_seeds
    if item_gains is not None:
        of_items = item_gains.mean(axis=0)
        variance += float(of_items.var(ddof=1)) / len(of_items)
    error, freedom = math.sqrt(variance), num_seeds - 1
    quantile = float(stats.t.ppf((1 + _CONFIDENCE) / 2, freedom))
    p_value = 1.0 if mean == 0 else 0.0
    if error > 0:
        p_value = 2 * float(stats.t.sf(abs(mean) / error, freedom))
    detectable = (quantile + float(stats.t.ppf(_POWER, freedom))) * error
    return Difference(mean, quantile * error, p_value, detectable)


def compare(metric: Metric, law: str, other: str) -> Difference:
    """One law against another."""
    gains = metric.sign * (metric.values[law] - metric.values[other])
    if not metric.items:
        return paired_difference(gains)
    return paired_difference(
        gains, metric.sign * (metric.items[law] - metric.items[other])
    )


def compare_to_fair(metric: Metric, law: str, fixed: Sequence[str]) -> Difference:
    """A law against the fixed ratio that the other seeds would have chosen.

    nan for a single seed, which leaves no other to choose by.
    """
    if len(metric.values[law]) < 2:
        return NOT_MEASURED
    chosen = best_fixed_by_seed(metric, fixed)
    theirs = np.array([metric.values[name][s] for s, name in enumerate(chosen)])
    gains = metric.sign * (metric.values[law] - theirs)
    if not metric.items:
        return paired_difference(gains)
    their_items = np.stack([metric.items[name][s] for s, name in enumerate(chosen)])
    return paired_difference(gains, metric.sign * (metric.items[law] - their_items))


def best_fixed_by_seed(metric: Metric, fixed: Sequence[str]) -> list[str]:
    """For each seed the fixed law of the best mean over the other seeds; needs two seeds."""
    num_seeds = len(metric.values[fixed[0]])
    return [_best_without(metric, fixed, seed) for seed in range(num_seeds)]


def _best_without(metric: Metric, fixed: Sequence[str], seed: int) -> str:
    """The fixed law of the best mean over all seeds but one."""
    means = {law: float(np.delete(metric.values[law], seed).mean()) for law in fixed}
    return max(means, key=lambda law: metric.sign * means[law])


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number; the error of the whole family is controlled.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    order = np.argsort(p_values)
    corrected, running = [math.nan] * len(p_values), 0.0
    for rank, index in enumerate(order):
        p_value = p_values[index]
        if math.isnan(p_value):
            continue
        running = max(running, min(1.0, (len(p_values) - rank) * p_value))
        corrected[index] = running
    return corrected


def regrets(table: Table, law: str) -> dict[str, float]:
    """Relative shortfall of a law's mean to the best law's, by metric; 0 for the best."""
    shortfalls = relative_shortfalls(*signed_values(table))[:, table.laws.index(law)]
    return dict(zip(table.metrics, shortfalls.tolist(), strict=True))


def signed_values(table: Table) -> tuple[Floats, Floats]:
    """(values (K, L, S) of all metrics and laws, signs (K,): 1 where higher is better)."""
    metrics = list(table.metrics.values())
    rows = np.stack([_by_law(metric, table.laws) for metric in metrics])
    return rows, np.array([metric.sign for metric in metrics])


def _by_law(metric: Metric, laws: Sequence[str]) -> Floats:
    """(L, S)."""
    return np.stack([metric.values[law] for law in laws])


def relative_shortfalls(values: Floats, signs: Floats) -> Floats:
    """(K, L) regret of laws to the best law of each metric, of means over seeds.

    values, signs: as `signed_values` returns them.
    """
    means = signs[:, None] * values.mean(axis=2)
    best = means.max(axis=1, keepdims=True)
    scale = np.where(best == 0, np.inf, np.abs(best))  # regret is 0 where best is 0
    return np.asarray((best - means) / scale)


def specialist_regret(table: Table, law: str) -> dict[float, Difference]:
    """ratio -> relative excess of a law's held-out loss over the specialist's; positive is worse.

    The specialist of a ratio is the law fixed at it, the best of several.
    """
    excess = _specialist_excess(table, law)
    return {ratio: paired_difference(excess[ratio]) for ratio in sorted(excess)}


def mean_specialist_regret(table: Table, law: str) -> Difference | None:
    """`specialist_regret` averaged over ratios, seed by seed; None without specialists."""
    rows = list(_specialist_excess(table, law).values())
    return paired_difference(np.mean(rows, axis=0)) if rows else None


def _specialist_excess(table: Table, law: str) -> dict[float, Floats]:
    """ratio -> (S,) relative excess of the loss over the specialist's, for each seed."""
    from r2mae.studies.measurement import loss_name

    excess = {}
    for ratio in set(table.fixed.values()):
        metric = table.metrics.get(loss_name(ratio))
        if metric is not None:
            # Laws of one ratio may differ in scope, weight or pattern.
            specialists = [name for name, at in table.fixed.items() if at == ratio]
            own = metric.values[law]
            theirs = metric.values[metric.best_of(specialists)]
            excess[ratio] = (own - theirs) / np.abs(theirs)
    return excess
