"""Figures of a study's report, as SVG that follows the page's colours."""

import io
import math
import re
from typing import Any

import numpy as np

from r2mae.studies.measure import loss_name
from r2mae.studies.statistics import regrets
from r2mae.studies.table import Metric, Table
from r2mae.studies.theory_card import TheoryCard

_WIDTH = 5.0  # inches: two figures side by side on a screen, one on a phone
_LEGEND_COLUMNS = 2
_INK = "#123456"  # replaced by the page's text colour, light or dark


def draw_losses(table: Table) -> str:
    """Held-out loss over the mask ratio, relative to the best law at each ratio."""
    ratios = measured_ratios(table)
    if len(ratios) < 2:
        return ""
    metrics = [table.metrics[loss_name(ratio)] for ratio in ratios]
    means = np.array([_means(metrics, law) for law in table.laws])  # (laws, ratios)
    best = means.min(axis=0)
    percent = 100 * (means - best) / np.abs(best)
    lines = dict(zip(table.laws, percent.tolist(), strict=True))
    label = "held-out loss above the best, %"
    return _plot(ratios, lines, "mask ratio", label, set(table.fixed))


def draw_hidden(table: Table) -> str:
    """Accuracy over the hidden share of test samples, for each probe."""
    figures = []
    for probe, shares in _hidden_metrics(table).items():
        if len(shares) < 2:
            continue
        metrics = [table.metrics[name] for name in shares.values()]
        lines = {law: _means(metrics, law) for law in table.laws}
        label = "hidden share of test samples, %"
        figures.append(_plot(list(shares), lines, label, probe, set(table.fixed)))
    return "".join(figures)


def draw_regrets(table: Table) -> str:
    """Mean and worst regret of each law."""
    by_law = {law: list(regrets(table, law).values()) for law in table.laws}
    laws = sorted(by_law, key=lambda law: -sum(by_law[law]))
    figure, axes = _figure(0.6 + 0.32 * len(laws))
    means = [100 * sum(by_law[law]) / len(by_law[law]) for law in laws]
    worst = [100 * max(by_law[law]) for law in laws]
    axes.barh(laws, worst, color="#9ab8d6", label="worst")
    axes.barh(laws, means, color="#2f6fad", label="mean", height=0.45)
    axes.set_xlabel("regret to the best law, %")
    axes.legend(frameon=False, labelcolor=_INK)
    return _svg(figure)


def draw_theory(table: Table, card: TheoryCard) -> str:
    """Predicted excess risk over the mask ratio, and the measured regret of the laws.

    A random law is drawn at the fixed ratio that it acts like in the theory.
    """
    if card.data is None:
        return ""
    figure, axes = _figure(3.6)
    curve = card.data["fixed_ratios"], card.data["fixed_excess_risks"]
    axes.plot(*curve, color="#2f6fad", label="predicted excess risk")
    axes.set(xlabel="mask ratio", ylabel="predicted excess risk", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    is_within_a_decade = max(curve[1]) < 10 * min(curve[1])
    axes.yaxis.set_minor_formatter("{x:g}" if is_within_a_decade else "")
    right = axes.twinx()
    _colour_axes(right)
    right.set_ylabel("measured mean regret, %")
    _draw_points(right, table, card, list(table.fixed), "o", "fixed ratios")
    _draw_points(right, table, card, table.random, "^", "random laws")
    _place_legend(figure)
    return _svg(figure)


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
    """probe -> {hidden share in %: metric}."""
    groups: dict[str, dict[float, str]] = {}
    for name in table.metrics:
        match = re.fullmatch(r"(.+ class|.+ labels)(?:, (.+)% hidden)?", name)
        if match:
            groups.setdefault(match[1], {})[float(match[2] or 0)] = name
    return groups


def _plot(
    x: list[Any],
    lines: dict[str, list[float]],
    x_label: str,
    y_label: str,
    fixed: set[str],
) -> str:
    """Lines of laws; those of fixed ratios are dashed."""
    rows = math.ceil(len(lines) / _LEGEND_COLUMNS)
    figure, axes = _figure(3.2 + 0.2 * rows)
    for law, values in lines.items():
        style = "--" if law in fixed else "-"
        axes.plot(x, values, style, marker="o", markersize=3, label=law)
    axes.set(xlabel=x_label, ylabel=y_label)
    _place_legend(figure)
    return _svg(figure)


def _place_legend(figure: Any) -> None:
    """Below the plot; of all axes of the figure."""
    figure.legend(
        frameon=False,
        labelcolor=_INK,
        fontsize=8,
        loc="outside lower center",
        ncols=_LEGEND_COLUMNS,
    )


def _figure(height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes: Any = figure.add_subplot()
    _colour_axes(axes)
    return figure, axes


def _colour_axes(axes: Any) -> None:
    """Text and lines in the page's colour."""
    axes.set_facecolor("none")
    axes.tick_params(which="both", colors=_INK)
    for part in (axes.xaxis.label, axes.yaxis.label):
        part.set_color(_INK)
    for spine in axes.spines.values():
        spine.set_color(_INK)


def _svg(figure: Any) -> str:
    import matplotlib as mpl

    buffer = io.StringIO()
    # Text stays text, and ids are the same every time.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "r2mae"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawn = buffer.getvalue()
    return drawn[drawn.index("<svg") :].replace(_INK, "currentColor")
