"""Figures as SVG that follows the page's colours, light or dark."""

import io
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

_WIDTH = 5.0  # inches: two figures side by side on a screen, one on a phone
_LEGEND_COLUMNS = 2
_MOST_GROUPS = 20  # that a legend names
INK = "#123456"  # replaced by the page's text colour, light or dark


def plot_lines(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    *,
    dashed: Collection[str] = (),
    marker: str = "o",
    colours: Mapping[str, Any] | None = None,
) -> str:
    """SVG of lines (x, y) by name, with a legend unless there is only one line."""
    has_legend = len(lines) > 1
    rows = math.ceil(len(lines) / _LEGEND_COLUMNS) if has_legend else 0
    figure, axes = new_figure(3.2 + 0.2 * rows)
    for name, (x, y) in lines.items():
        style = "--" if name in dashed else "-"
        colour = None if colours is None else colours[name]
        options = {"marker": marker, "markersize": 3, "label": name, "color": colour}
        axes.plot(x, y, style, **options)
    axes.set(xlabel=x_label, ylabel=y_label)
    if has_legend:
        place_legend(figure)
    return to_svg(figure)


def plot_points(points: Any, groups: Sequence[str], x_label: str, y_label: str) -> str:
    """SVG of points (N, 2), coloured by group; a legend for up to 20 groups."""
    figure, axes = new_figure(5.0)
    for name in sorted(set(groups)):
        rows = [number for number, group in enumerate(groups) if group == name]
        axes.plot(*points[rows].T, ".", markersize=4, label=name)
    axes.set(xlabel=x_label, ylabel=y_label)
    if 1 < len(set(groups)) <= _MOST_GROUPS:
        place_legend(figure)
    return to_svg(figure)


def place_legend(figure: Any) -> None:
    """Below the plot; of all axes of the figure."""
    figure.legend(
        frameon=False,
        labelcolor=INK,
        fontsize=8,
        loc="outside lower center",
        ncols=_LEGEND_COLUMNS,
    )


def new_figure(height: float) -> tuple[Any, Any]:
    """(figure, axes) of this height in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes: Any = figure.add_subplot()
    colour_axes(axes)
    return figure, axes


def colour_axes(axes: Any) -> None:
    """Text and lines in the page's colour."""
    axes.set_facecolor("none")
    axes.tick_params(which="both", colors=INK)
    for part in (axes.xaxis.label, axes.yaxis.label):
        part.set_color(INK)
    for spine in axes.spines.values():
        spine.set_color(INK)


def to_svg(figure: Any) -> str:
    """The figure as an SVG element."""
    import matplotlib as mpl

    buffer = io.StringIO()
    # Text stays text, and ids are the same every time.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "r2mae"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawn = buffer.getvalue()
    return drawn[drawn.index("<svg") :].replace(INK, "currentColor")
