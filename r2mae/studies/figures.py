"""Figures of a study's report, as SVG that follows the page's colours."""

import re
from typing import Any

import numpy as np

from r2mae.page.figure import (
    INK,
    colour_axes,
    new_figure,
    place_legend,
    plot_lines,
    to_svg,
)
from r2mae.studies.measurement import IN_TRAINING, loss_name
from r2mae.studies.statistics import regrets
from r2mae.studies.table import Metric, Table
from r2mae.studies.theory_card import TheoryCard


def draw_losses(table: Table) -> str:
    """Held-out loss over the mask ratio, relative to the best law at each ratio."""
    ratios = measured_ratios(table)
    if len(ratios) < 2:
        return ""
    metrics = [table.metrics[loss_name(ratio)] for ratio in ratios]
    means = np.array([_means(metrics, law) for law in table.laws])  # (laws, ratios)
    best = means.min(axis=0)
    percent = 100 * (means - best) / np.abs(best)
    lines = {
        law: (ratios, row)
        for law, row in zip(table.laws, percent.tolist(), strict=True)
    }
    label = "held-out loss above the best, %"
    return plot_lines(lines, "mask ratio", label, dashed=table.fixed)


def draw_hidden(table: Table) -> str:
    """Accuracy over the hidden share of test samples, for each probe."""
    figures = []
    for probe, shares in _hidden_metrics(table).items():
        if len(shares) < 2:
            continue
        metrics = [table.metrics[name] for name in shares.values()]
        lines = {law: (list(shares), _means(metrics, law)) for law in table.laws}
        label = "hidden share of test samples, %"
        figures.append(plot_lines(lines, label, probe, dashed=table.fixed))
    return "".join(figures)


def draw_regrets(table: Table) -> str:
    """Mean and worst regret of each law."""
    by_law = {law: list(regrets(table, law).values()) for law in table.laws}
    laws = sorted(by_law, key=lambda law: -sum(by_law[law]))
    figure, axes = new_figure(0.6 + 0.32 * len(laws))
    means = [100 * sum(by_law[law]) / len(by_law[law]) for law in laws]
    worst = [100 * max(by_law[law]) for law in laws]
    axes.barh(laws, worst, color="#9ab8d6", label="worst")
    axes.barh(laws, means, color="#2f6fad", label="mean", height=0.45)
    axes.set_xlabel("regret to the best law, %")
    axes.legend(frameon=False, labelcolor=INK)
    return to_svg(figure)


def draw_theory(table: Table, card: TheoryCard) -> str:
    """Predicted excess risk over the mask ratio, and the measured regret of the laws.

    A random law is drawn at the fixed ratio that it acts like in the theory.
    """
    if card.data is None:
        return ""
    figure, axes = new_figure(3.6)
    curve = card.data["fixed_ratios"], card.data["fixed_excess_risks"]
    axes.plot(*curve, color="#2f6fad", label="predicted excess risk")
    axes.set(xlabel="mask ratio", ylabel="predicted excess risk", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    is_within_a_decade = max(curve[1]) < 10 * min(curve[1])
    axes.yaxis.set_minor_formatter("{x:g}" if is_within_a_decade else "")
    right = axes.twinx()
    colour_axes(right)
    right.set_ylabel("measured mean regret, %")
    _draw_points(right, table, card, list(table.fixed), "o", "fixed ratios")
    _draw_points(right, table, card, table.random, "^", "random laws")
    place_legend(figure)
    return to_svg(figure)


def _draw_points(
    axes: Any,
    table: Table,
    card: TheoryCard,
    laws: list[str],
    marker: str,
    label: str,
) -> None:
    """Mean regret of laws over the ratio that they act like."""
    predicted = [law for law in laws if law in card.laws]
    ratios = [card.laws[law].acts_like for law in predicted]
    by_law = [list(regrets(table, law).values()) for law in predicted]
    means = [100 * sum(each) / len(each) for each in by_law]
    text = f"{label}, measured regret"
    axes.plot(ratios, means, marker, color="#d2691e", label=text)


def _means(metrics: list[Metric], law: str) -> list[float]:
    """Mean over seeds of each metric."""
    return [float(metric.values[law].mean()) for metric in metrics]


def measured_ratios(table: Table) -> list[float]:
    """Ratios of the held-out losses, rising."""
    matches = (re.fullmatch(r"held-out loss at (.+)", name) for name in table.metrics)
    return sorted(float(match[1]) for match in matches if match)


def _hidden_metrics(table: Table) -> dict[str, dict[float, str]]:
    """probe -> {hidden share in %: metric}; probes that saw partly hidden samples apart."""
    groups: dict[str, dict[float, str]] = {}
    for name in table.metrics:
        pattern = rf"(.+ class|.+ labels)(?:, (.+)% hidden)?({IN_TRAINING})?"
        match = re.fullmatch(pattern, name)
        if match:
            probe = match[1] + (match[3] or "")
            groups.setdefault(probe, {})[float(match[2] or 0)] = name
    return groups
