"""Curves of excess risk as PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r2mae.advice.recommend import Advice
from r2mae.errors import InputError


def check_picture_path(path: str) -> None:
    """Raise InputError unless path may be written as a PNG."""
    if Path(path).suffix != ".png" or not Path(path).parent.is_dir():
        raise InputError(f"-o must be a .png file in a folder that exists, got {path}.")


def draw_advice(advice: Advice, path: str) -> None:
    """Excess risk against the fixed ratio, a line a sample size; the recipe's law stands where it acts."""
    ratios = advice.curves["ratio"]
    lines = {
        f"N = {float(factor) * advice.num_rows:,.0f}": values
        for factor, values in advice.curves.items()
        if factor != "ratio"
    }
    draw_curves(
        ratios, lines, path, marks={"this recipe's law acts like": advice.law_acts_like}
    )


def draw_curves(
    ratios: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    path: str,
    marks: Mapping[str, float] | None = None,
) -> None:
    """Write a PNG, risks on a logarithmic axis. Raises: InputError for a path that is none."""
    check_picture_path(path)
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
