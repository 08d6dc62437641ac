"""Predicted against measured regret of a study's laws: rank correlation and calibration.

Laws that the theory does not tell apart count as one point: their measured regrets are
averaged.

Shapes: K metrics, L laws, S seeds, H half-samples, G points.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from r2mae.advice.half_samples import band
from r2mae.metrics.interval import RESAMPLES
from r2mae.studies.measurement import kind_of
from r2mae.studies.statistics import relative_shortfalls, signed_values
from r2mae.studies.table import Floats, Table
from r2mae.studies.theory_card import TheoryCard

ALL = "all measurements"
_CONFIDENCE = 0.95
_FEWEST = 3  # different predictions, for a correlation
_DECIMALS = 9  # predictions that differ by less are equal but for rounding
Row = dict[str, Any]
Band = tuple[float, float]


@dataclass(frozen=True)
class Agreement:
    """How well the predicted regret of laws agrees with the measured one.

    kind, count: of the measurements, over which regret is averaged.
    points: number of different predictions.
    tau: Kendall's rank correlation; with slope None for fewer than 3 points.
    p_value: of a tau at least as far from 0, were the order of laws random.
    slope: increase of the measured regret with the predicted one, by least squares.
    mean_error: mean of predicted minus measured regret.
    choice: laws of least predicted regret.
    cost: their measured regret above that of the best point. random_cost: that of a
        point drawn at random.
    Bands: symmetric 95 % intervals of a bootstrap over seeds and half-samples of the
        data, for these laws.
    """

    kind: str
    count: int
    points: int
    tau: float | None
    tau_band: Band | None
    p_value: float | None
    slope: float | None
    slope_band: Band | None
    mean_error: float
    choice: list[str]
    cost: float
    cost_band: Band
    random_cost: float


def agreements(table: Table, card: TheoryCard) -> list[Agreement]:
    """Over all measurements, then by kind of measurement; none without predicted laws."""
    groups = _group_laws(table, card)
    if not groups:
        return []
    chosen = _metrics_by_kind(table)
    return [_agreement(table, card, groups, *entry) for entry in chosen.items()]


def _metrics_by_kind(table: Table) -> dict[str, Any]:
    """(K,) which metrics are of a kind; first all of them, where there are several kinds."""
    of_metrics = np.array([kind_of(name) for name in table.metrics])
    chosen = {kind: of_metrics == kind for kind in dict.fromkeys(of_metrics.tolist())}
    if len(chosen) == 1:
        return chosen
    return {ALL: np.full(len(of_metrics), True)} | chosen


def law_rows(table: Table, card: TheoryCard) -> list[Row]:
    """Predicted and measured regret of each law, the least predicted first."""
    values, signs = signed_values(table)
    shortfalls = relative_shortfalls(values, signs)
    chosen = _metrics_by_kind(table)
    rows = []
    for index, law in enumerate(table.laws):
        row = dict(table.variant) | {"law": law} | _predicted_entries(card, law)
        for kind, is_chosen in chosen.items():
            mean = float(shortfalls[is_chosen, index].mean())
            row[f"measured regret, {kind}"] = mean
        rows.append(row)
    return sorted(rows, key=lambda row: row.get("predicted_regret", math.inf))


def _predicted_entries(card: TheoryCard, law: str) -> Row:
    prediction = card.laws.get(law)
    if prediction is None:
        return {}
    low, high = prediction.expected_regret_band
    return {
        "predicted_regret": prediction.expected_regret,
        "predicted_low": low,
        "predicted_high": high,
        "predicted_excess_risk": prediction.excess_risk,
        "acts_like": prediction.acts_like,
    }


def _group_laws(table: Table, card: TheoryCard) -> list[list[int]]:
    """Indices of the laws of each point."""
    groups: dict[float, list[int]] = {}
    for index, law in enumerate(table.laws):
        if law in card.laws:
            regret = round(card.laws[law].expected_regret, _DECIMALS)
            groups.setdefault(regret, []).append(index)
    return list(groups.values())


def _agreement(
    table: Table,
    card: TheoryCard,
    groups: list[list[int]],
    kind: str,
    is_chosen: Any,
) -> Agreement:
    values, signs = signed_values(table)
    values, signs = values[is_chosen], signs[is_chosen]
    laws = [card.laws[table.laws[indices[0]]] for indices in groups]
    predicted = np.array([law.expected_regret for law in laws])  # (G,)
    halves = np.array([law.half_sample_regrets for law in laws])  # (G, H)
    measured = _measured(values, signs, groups)
    estimate = _statistics(predicted, measured).tolist()
    generator = np.random.default_rng(0)
    resampled = []
    for _ in range(RESAMPLES):
        half = halves[:, generator.integers(halves.shape[1])]
        seeds = generator.integers(values.shape[2], size=values.shape[2])
        of_seeds = _measured(values[:, :, seeds], signs, groups)
        resampled.append(_statistics(half, of_seeds))
    bands = _bands(estimate, np.array(resampled))
    tau, slope, cost = estimate
    has_rank = len(groups) >= _FEWEST
    return Agreement(
        kind=kind,
        count=int(is_chosen.sum()),
        points=len(groups),
        tau=tau if has_rank else None,
        tau_band=bands[0] if has_rank else None,
        p_value=_p_value(predicted, measured) if has_rank else None,
        slope=slope if has_rank else None,
        slope_band=bands[1] if has_rank else None,
        mean_error=float((predicted - measured).mean()),
        choice=[table.laws[index] for index in groups[int(predicted.argmin())]],
        cost=cost,
        cost_band=bands[2],
        random_cost=float(measured.mean() - measured.min()),
    )


def _bands(estimate: list[float], resampled: Floats) -> list[Band]:
    """Of tau, slope and cost (R, 3)."""
    limits = ((-1.0, 1.0), (-math.inf, math.inf), (0.0, math.inf))
    return [
        band(value, column.tolist(), limits=ends, confidence=_CONFIDENCE)
        for value, column, ends in zip(estimate, resampled.T, limits, strict=True)
    ]


def _measured(values: Floats, signs: Floats, groups: list[list[int]]) -> Floats:
    """(G,) mean regret of the laws of each point, of values (K, L, S)."""
    by_law = relative_shortfalls(values, signs).mean(axis=0)
    return np.array([by_law[indices].mean() for indices in groups])


def _statistics(predicted: Floats, measured: Floats) -> Floats:
    """Kendall's tau-b, slope, and cost of the least predicted.

    tau and slope are 0 where they are undefined: where all measurements, or predictions,
    are equal.
    """
    above, right = _differences(measured), _differences(predicted)
    tau = _cosine(np.sign(above), np.sign(right))
    spread = float((right**2).sum())
    slope = float((above * right).sum()) / spread if spread else 0.0
    cost = float(measured[predicted.argmin()] - measured.min())
    return np.array([tau, slope, cost])


def _differences(values: Floats) -> Floats:
    """(G, G) of all pairs."""
    return values[:, None] - values[None]


def _cosine(left: Floats, right: Floats) -> float:
    lengths = math.sqrt((left**2).sum() * (right**2).sum())
    return float((left * right).sum()) / lengths if lengths else 0.0


def _p_value(predicted: Floats, measured: Floats) -> float:
    """Exact for up to 33 points without ties."""
    from scipy import stats

    return float(stats.kendalltau(predicted, measured).pvalue)
