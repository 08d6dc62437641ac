"""Stages of grokking, from the curve that a run recorded.

Shapes: P points in time.
"""

from typing import Any

import numpy as np

from r2mae.modalities.algebra.irreps import Floats
from r2mae.modalities.algebra.models.curve import COLUMNS

LEARNED = 0.99  # accuracy
_SETTLED = 0.05  # of the change of a column until the end
STAGES = ("memorisation", "generalisation", "clean-up")


def read_curve(model: Any, every_steps: int, last_step: int) -> dict[str, list[float]]:
    """Columns by name, "step" first; the last point is measured now."""
    values = model.curve.values.cpu().double().numpy()
    steps = np.arange(len(values)) * every_steps
    done = steps < last_step
    final = model.curve.measure(model).cpu().double().numpy()
    rows = np.concatenate([values[done], final[None]])
    curve = dict(zip(COLUMNS, rows.T.tolist(), strict=True))
    return {"step": [*steps[done].tolist(), last_step]} | curve


def find_stages(curve: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Start, end and changes of each stage that a run reached.

    Memorisation ends when 99 % of the training triples are right; generalisation when
    99 % of the others are; the clean-up, in which weight decay removes what the loss no
    longer needs, when spectral share and weight norm are within 5 % of their last change.
    """
    columns = {name: np.array(values) for name, values in curve.items()}
    last = len(columns["step"]) - 1
    borders = [0]
    for name in ("train_accuracy", "test_accuracy"):
        reached = np.flatnonzero(columns[name] >= LEARNED)
        borders.append(int(reached[0]) if len(reached) else last)
        if not len(reached):
            break
    else:
        start = borders[-1]
        ends = [
            _settled(columns[name], start) for name in ("spectral_share", "weight_norm")
        ]
        borders.append(max(ends))
    stages = []
    for name, start, end in zip(STAGES, borders, borders[1:], strict=False):
        changes = {
            column: [float(columns[column][start]), float(columns[column][end])]
            for column in COLUMNS
        }
        steps = columns["step"]
        row: dict[str, Any] = {"stage": name, "start": int(steps[start])}
        is_done = name == STAGES[2] or columns[_GOALS[name]][end] >= LEARNED
        row |= {"end": int(steps[end]), "finished": bool(is_done), "changes": changes}
        stages.append(row)
    return stages


_GOALS = {"memorisation": "train_accuracy", "generalisation": "test_accuracy"}


def _settled(values: Floats, start: int) -> int:
    """First point from which a column stays close to its last value."""
    distance = np.abs(values[start:] - values[-1])
    is_far = np.flatnonzero(distance > _SETTLED * distance.max())
    return start + (int(is_far[-1]) + 1 if len(is_far) else 0)
