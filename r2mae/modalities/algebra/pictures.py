"""Pictures of the read-outs.

Shapes: N elements, M neurons, C components.
"""

from pathlib import Path
from typing import Any

import numpy as np

from r2mae.modalities.algebra.irreps import Floats
from r2mae.modalities.algebra.spectrum import Integers, Neurons

_SIZE = (9, 3.6)  # inches
_DPI = 130


def _axes(count: int) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    return figure, figure.subplots(1, count, squeeze=False)[0]


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI)


def draw_spectrum(neurons: Neurons, path: Path) -> None:
    """Energy of each neuron by component, sorted by winner; neurons by component."""
    figure, (left, right) = _axes(2)
    order = np.lexsort((-neurons.winning_shares, neurons.winners))
    image = left.imshow(neurons.shares[:, order], aspect="auto", vmin=0, vmax=1)
    left.set(xlabel="neuron", ylabel="component", title="share of energy")
    figure.colorbar(image, ax=left)
    counts = np.bincount(neurons.winners, minlength=len(neurons.components))
    right.bar(np.arange(len(counts)), counts)
    right.axhline(counts.mean(), color="black", linewidth=0.8)
    right.set(xlabel="component", ylabel="neurons", title="winning component")
    _save(figure, path)


def draw_vote(rows: list[dict[str, float]], table: Floats, path: Path) -> None:
    """Accuracy by number of neurons; the vote's logits by product and element."""
    figure, (left, right) = _axes(2)
    sizes = [row["neurons"] for row in rows]
    left.semilogx(sizes, [row["accuracy"] for row in rows], marker="o", base=2)
    left.set(xlabel="random neurons", ylabel="accuracy", title="sum of n neurons")
    image = right.imshow(table)
    right.set(xlabel="element", ylabel="product", title="logits of the vote")
    figure.colorbar(image, ax=right)
    _save(figure, path)


def draw_lottery(times: Floats, winners: Integers, path: Path) -> None:
    """Blow-up time of each neuron's winner against that of the fastest other one."""
    figure, (axis,) = _axes(1)
    columns = np.arange(len(winners))
    won = times[winners, columns]
    others = times.copy()
    others[winners, columns] = np.inf
    axis.loglog(others.min(axis=0), won, ".")
    limits = [won.min(), won.max()]
    axis.loglog(limits, limits, color="black", linewidth=0.8)
    axis.set(
        xlabel="shortest predicted time of another component",
        ylabel="predicted time of the winner",
        title="below the line: predicted correctly",
    )
    _save(figure, path)


def draw_rates(slopes: dict[str, Floats], path: Path) -> None:
    """Measured against derived rates."""
    figure, (axis,) = _axes(1)
    axis.plot(slopes["derived"], slopes["measured"], ".")
    limits = [slopes["derived"].min(), slopes["derived"].max()]
    axis.plot(limits, limits, color="black", linewidth=0.8)
    axis.set(xlabel="derived", ylabel="measured", title="rate of log misalignment")
    _save(figure, path)


def draw_stages(
    curve: dict[str, list[float]], rows: list[dict[str, Any]], path: Path
) -> None:
    """Accuracies and spectral share, then weight norm, with the stages' borders."""
    figure, (left, right) = _axes(2)
    for name in ("train_accuracy", "test_accuracy", "spectral_share"):
        left.plot(curve["step"], curve[name], label=name.replace("_", " "))
    left.legend()
    right.plot(curve["step"], curve["weight_norm"])
    right.set(title="weight norm")
    for axis in (left, right):
        axis.set(xlabel="step", xscale="symlog")
        for row in rows:
            axis.axvline(row["end"], color="black", linewidth=0.8, linestyle=":")
    _save(figure, path)
