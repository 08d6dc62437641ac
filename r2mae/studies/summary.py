"""A study in a few numbers: gains of a law over fixed ratios, averaged over measurements.

Shapes: S seeds, M test items.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from r2mae.studies.measurement import kind_of
from r2mae.studies.statistics import (
    NOT_MEASURED,
    Difference,
    best_fixed_by_seed,
    paired_difference,
)
from r2mae.studies.table import Floats, Metric, Table

Reference = Literal["fair", "oracle"]
Row = dict[str, Any]


def gain_rows(table: Table, law: str) -> list[Row]:
    """Relative gain of a law over the fair fixed ratio and the oracle, for each kind of measurement.

    A row: kind, count of measurements, and a `Difference` for "fair" and for "oracle".
    """
    metrics_by_kind: dict[str, list[Metric]] = {}
    for name, metric in table.metrics.items():
        metrics_by_kind.setdefault(kind_of(name), []).append(metric)
    return [
        {
            "kind": kind,
            "count": len(metrics),
            "fair": mean_gain(table, law, metrics, "fair"),
            "oracle": mean_gain(table, law, metrics, "oracle"),
        }
        for kind, metrics in metrics_by_kind.items()
    ]


def mean_gain(
    table: Table, law: str, metrics: list[Metric], reference: Reference
) -> Difference:
    """Relative gain over fixed ratios, averaged over metrics; positive is better.

    A metric whose reference is 0 counts as a gain of 0.

    reference: the fixed ratio that is best for each metric, either on the other seeds
        ("fair") or on all of them ("oracle").
    """
    fixed = list(table.fixed)
    if len(table.seeds) < 2:
        return NOT_MEASURED
    choose = _on_other_seeds if reference == "fair" else _in_hindsight
    gains, item_gains = [], []
    for metric in metrics:
        chosen = choose(metric, fixed)
        theirs = np.array([metric.values[name][s] for s, name in enumerate(chosen)])
        reference_mean = abs(float(theirs.mean()))
        # As in `relative_shortfalls`, nothing is relative to 0.
        scale = metric.sign / reference_mean if reference_mean else 0.0
        gains.append(scale * (metric.values[law] - theirs))
        if metric.items:
            rows = [metric.items[name][s] for s, name in enumerate(chosen)]
            item_gains.append(scale * (metric.items[law] - np.stack(rows)))
    return paired_difference(np.mean(gains, axis=0), _mean_items(item_gains, metrics))


def describe_gain(gain: Difference) -> str:
    """`+1.9% ± 0.4%, wins`, or what is missing."""
    if math.isnan(gain.half_width):
        return "one seed"
    return f"{with_interval(gain.mean, gain.half_width, '.1%')}, {gain.verdict}"


def with_interval(mean: float, half_width: float, style: str) -> str:
    """`+1.9% ± 0.4%`; the mean alone for one seed."""
    if math.isnan(half_width):
        return f"{mean:+{style}}"
    return f"{mean:+{style}} ± {half_width:{style}}"


def _mean_items(item_gains: list[Floats], metrics: list[Metric]) -> Floats | None:
    """(S, M) mean over metrics; None unless all of them score the same items."""
    shapes = {gains.shape for gains in item_gains}
    if len(item_gains) < len(metrics) or len(shapes) > 1:
        return None
    mean: Floats = np.mean(item_gains, axis=0)
    return mean


_Chooser = Callable[[Metric, list[str]], list[str]]


def _on_other_seeds(metric: Metric, fixed: list[str]) -> list[str]:
    return best_fixed_by_seed(metric, fixed)


def _in_hindsight(metric: Metric, fixed: list[str]) -> list[str]:
    num_seeds = len(metric.values[fixed[0]])
    return [metric.best_of(fixed)] * num_seeds
