"""How well scores put one class before another: areas under curves, with bootstrap intervals."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.metrics._checks import as_floats, check_count

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def auroc(scores: npt.ArrayLike, is_positive: npt.ArrayLike) -> float:
    """Chance that a positive of scores (N,) lies above a negative; ties count a half.

    Raises: ValueError unless there are both.
    Source: Mann and Whitney 1947.
    """
    from scipy.stats import rankdata

    values, flags = _checked(scores, is_positive)
    positives = int(flags.sum())
    ranks = rankdata(values)[flags].sum()
    return float(
        (ranks - positives * (positives + 1) / 2)
        / (positives * (len(flags) - positives))
    )


def average_precision(scores: npt.ArrayLike, is_positive: npt.ArrayLike) -> float:
    """Area under precision over recall, as steps: the mean over positives of the precision at each; ties go together.

    Raises: ValueError unless there are both classes.
    """
    values, flags = _checked(scores, is_positive)
    order = np.argsort(-values, kind="stable")
    hits = flags[order].cumsum()
    last = np.flatnonzero(
        np.append(np.diff(values[order]) != 0, True)
    )  # of each run of ties
    recall = np.diff(hits[last], prepend=0) / flags.sum()
    return float((recall * hits[last] / (last + 1)).sum())


METRICS = {"auroc": auroc, "auprc": average_precision}


def rank_scores(
    scores: Mapping[str, npt.ArrayLike],
    is_positive: npt.ArrayLike,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """{name: {metric: {"value", "low", "high"}}} of several scores (N,) of the same items, greater for positives.

    low, high: 95 % of `draws` bootstrap samples of items, the same for all scores. From the first score to each other
    one, "<metric>_difference" says how much better the first is.

    Raises: ValueError unless there are both classes.
    """
    check_count("draws", draws, 2)
    flags = np.asarray(is_positive, dtype=np.bool_)
    arrays = {name: as_floats(name, values, 1) for name, values in scores.items()}
    draw = np.random.default_rng(seed)
    rows = [
        row
        for row in draw.integers(0, len(flags), (draws, len(flags)))
        if 0 < flags[row].sum() < len(flags)
    ]
    found: dict[str, dict[str, Any]] = {name: {} for name in arrays}
    for metric, measure in METRICS.items():
        whole = {name: measure(values, flags) for name, values in arrays.items()}
        drawn = {
            name: np.array([measure(values[row], flags[row]) for row in rows])
            for name, values in arrays.items()
        }
        (first, ours), *_ = drawn.items()
        for name in arrays:
            found[name][metric] = _interval(whole[name], drawn[name])
            if name != first:
                found[name][f"{metric}_difference"] = _interval(
                    whole[first] - whole[name], ours - drawn[name]
                )
    return found


def _interval(value: float, drawn: Floats) -> dict[str, float]:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return {"value": value, "low": float(low), "high": float(high)}


def _checked(scores: npt.ArrayLike, is_positive: npt.ArrayLike) -> tuple[Floats, Flags]:
    values, flags = (
        as_floats("scores", scores, 1),
        np.asarray(is_positive, dtype=np.bool_),
    )
    if len(values) != len(flags):
        raise ValueError(
            f"is_positive must be as long as scores ({len(values)}), got {len(flags)}. Pair them."
        )
    if not 0 < flags.sum() < len(flags):
        raise ValueError(
            f"is_positive must hold both classes, got {int(flags.sum())} of {len(flags)} positive."
        )
    return values, flags
