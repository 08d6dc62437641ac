"""Curves of excess risk against the mask ratio, as PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r2mae.advice.recommend import Advice
from r2mae.errors import InputError


def check_picture_path(path: str) -> None:
    """Raise InputError unless path is a .png file in an existing folder."""
    if Path(path).suffix != ".png" or not Path(path).parent.is_dir():
        raise InputError(f"-o must be a .png file in a folder that exists, got {path}.")


def draw_advice(advice: Advice, path: str) -> None:
    """Plot excess risk against fixed ratios, one curve per number of samples.

    A dotted line marks the fixed ratio that the recipe's law is equivalent to.
    """
    ratios = advice.curves["ratio"]
    lines = {
        f"N = {float(factor) * advice.num_rows:,.0f}": values
        for factor, values in advice.curves.items()
        if factor != "ratio"
    }
    marks = {"this recipe's law acts like": advice.law_acts_like}
    draw_curves(ratios, lines, path, marks=marks)


def draw_curves(
    ratios: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    path: str,
    marks: Mapping[str, float] | None = None,
) -> None:
    """Write a PNG with risks on a logarithmic axis.

    lines: label -> risk at each ratio. marks: label -> ratio of a vertical line.

    Raises: InputError unless path is a .png file in an existing folder.
    """
    check_picture_path(path)
    # Imported here because it is slow to load and most commands draw nothing.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes: Any = figure.add_subplot()
    for label, values in lines.items():
        axes.plot(ratios, values, marker=".", label=label)
    for label, ratio in (marks or {}).items():
        axes.axvline(ratio, color="0.4", linestyle=":", label=f"{label} {ratio:.2f}")
    axes.set(xlabel="mask ratio", ylabel="excess test risk", yscale="log")
    axes.legend(frameon=False)
    figure.savefig(path)
