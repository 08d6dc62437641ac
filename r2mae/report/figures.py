"""Curves of runs, and held-out loss over mask ratio and step."""

import html
import itertools
import math
from typing import Any

from r2mae.page.figure import INK, new_figure, plot_lines, to_svg
from r2mae.report.record import Curve, RunRecord
from r2mae.training.metric_log import LOSS_AT, metric_title

_POINTS = 300  # of a drawn curve; longer ones are averaged in groups
_STEPS = 6  # whose loss over the mask ratio is a line
_PROGRESS = {
    "train/samples_per_second": "samples per second",
    "train/visible_tokens_per_second": "visible tokens per second",
    "train/model_flop_utilization": "share of peak FLOP/s",
    "train/data_wait_share": "share of time waiting for data",
    "train/peak_memory_gib": "peak memory, GiB",
    "train/grad_norm": "gradient norm",
    "train/lr": "learning rate",
}


def draw_losses(records: list[RunRecord]) -> str:
    """Training loss, and held-out loss over steps."""
    figures = draw_metric(records, "train/loss", "training loss, masked tokens")
    if len(records) > 1 or not records[0].ratios:
        return figures + draw_metric(records, "validation/loss", "held-out loss")
    lines = {f"mask ratio {r:g}": thin(c) for r, c in records[0].ratios.items()}
    return figures + plot_lines(lines, "step", "held-out loss")


def draw_held_out(records: list[RunRecord]) -> str:
    """Every other metric on held-out samples: probes, effective rank, perplexity."""
    names = {name: None for record in records for name in record.curves}
    drawn = [
        draw_metric(records, name, metric_title(name))
        for name in names
        if not name.startswith(("train/", LOSS_AT)) and name != "validation/loss"
    ]
    return "".join(drawn)


def draw_progress(records: list[RunRecord]) -> str:
    """Throughput, waiting, memory, gradient norm and learning rate."""
    drawn = [draw_metric(records, name, title) for name, title in _PROGRESS.items()]
    return "".join(drawn)


def draw_metric(records: list[RunRecord], name: str, title: str) -> str:
    """A line for each run that logged it; "" for none."""
    lines = {
        record.name: thin(record.curves[name])
        for record in records
        if name in record.curves
    }
    marker = "o" if all(len(x) < 30 for x, _ in lines.values()) else ""
    return plot_lines(lines, "step", title, marker=marker) if lines else ""


def draw_surfaces(records: list[RunRecord]) -> str:
    """Held-out loss over mask ratio and step of each run: a heat map and lines."""
    shown = [record for record in records if len(record.ratios) > 1]
    values = [
        v for record in shown for _, curve in record.ratios.values() for v in curve
    ]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    limits = min(finite), max(finite)
    parts = []
    for record in shown:
        drawn = _heat_map(record, limits) + _ratio_lines(record)
        parts.append(_captioned(record.name, drawn))
    return "".join(parts)


def _captioned(name: str, drawn: str) -> str:
    return (
        f"<figure><figcaption>{html.escape(name)}</figcaption>"
        f'<div class="figures">{drawn}</div></figure>'
    )


def _heat_map(record: RunRecord, limits: tuple[float, float]) -> str:
    """Mask ratios are rows of equal height, as the measured ones are few."""
    curves = [thin(curve) for curve in record.ratios.values()]
    steps = curves[0][0]
    figure, axes = new_figure(3.2)
    table = [values for _, values in curves]
    norm = _norm(limits)
    image = axes.pcolormesh(_edges(steps), range(len(curves) + 1), table, norm=norm)
    axes.set_yticks([n + 0.5 for n in range(len(curves))])
    axes.set_yticklabels([f"{ratio:g}" for ratio in record.ratios])
    axes.set(xlabel="step", ylabel="mask ratio")
    bar = figure.colorbar(image, ax=axes)
    bar.set_label("held-out loss", color=INK)
    bar.ax.tick_params(which="both", colors=INK)
    _format_log(bar.ax, limits)
    return to_svg(figure)


def _ratio_lines(record: RunRecord) -> str:
    """Held-out loss over the mask ratio at up to six steps, the last one included."""
    import matplotlib as mpl

    ratios = list(record.ratios)
    steps = next(iter(record.ratios.values()))[0]
    count = min(_STEPS, len(steps))
    places = sorted({round((n + 1) * len(steps) / count) - 1 for n in range(count)})
    colours = mpl.colormaps["viridis"]
    lines, shades = {}, {}
    for number, place in enumerate(places):
        name = f"step {steps[place]:,}"
        values = [curve[1][place] for curve in record.ratios.values()]
        lines[name] = (ratios, values)
        shades[name] = colours(0.85 * number / max(1, len(places) - 1) + 0.1)
    return plot_lines(lines, "mask ratio", "held-out loss", colours=shades)


def _norm(limits: tuple[float, float]) -> Any:
    """Colours on a log scale where losses are positive: the first are far above the last."""
    from matplotlib.colors import LogNorm, Normalize

    return (LogNorm if limits[0] > 0 else Normalize)(*limits)


def _format_log(axes: Any, limits: tuple[float, float]) -> None:
    if limits[0] > 0:
        axes.yaxis.set_major_formatter("{x:g}")
        is_within_a_decade = limits[1] < 10 * limits[0]
        axes.yaxis.set_minor_formatter("{x:.2g}" if is_within_a_decade else "")


def _edges(steps: list[float]) -> list[float]:
    """Borders of a column for each step: halfway to its neighbours."""
    inner = [(a + b) / 2 for a, b in itertools.pairwise(steps)]
    width = (inner[0] - steps[0]) if inner else 0.5
    end = (steps[-1] - inner[-1]) if inner else 0.5
    return [steps[0] - width, *inner, steps[-1] + end]


def thin(curve: Curve) -> tuple[list[float], list[float]]:
    """At most 300 points: means of steps and of values in groups of equal size."""
    steps, values = curve
    size = math.ceil(len(steps) / _POINTS)
    groups = range(0, len(steps), size)
    if size == 1:
        return [float(step) for step in steps], values
    x = [_mean(steps[start : start + size]) for start in groups]
    return x, [_mean(values[start : start + size]) for start in groups]


def _mean(values: list[Any]) -> float:
    """Of finite values; nan where there is none."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
