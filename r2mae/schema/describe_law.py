"""A recipe's mask-ratio law in words."""

import json
from typing import Any


def describe_law(mask: dict[str, Any], num_levels: int | None = None) -> str:
    """`uniform (low 0.6, high 0.9), stratified, weight 1/ratio` of a recipe's `mask` section.

    Scope, and a weight of 1 / ratio, are left out for a fixed ratio, where they change nothing.
    num_levels: distinct ratios, to be told too.
    """
    ratio, schedule = mask.get("ratio"), mask.get("schedule")
    scope, weight = mask.get("scope", "step"), mask.get("weight", "token")
    parts = [_describe(ratio)]
    if schedule or not (isinstance(ratio, dict) and "fixed" in ratio):
        parts += [] if num_levels is None else [f"{num_levels} levels"]
        parts += [scope if scope == "stratified" else f"one ratio per {scope}"]
        parts += ["weight 1/ratio"] if weight == "inverse_ratio" else []
    parts += [f"weight {weight}"] if weight in ("sum", "sample") else []
    parts += [f"schedule {_describe(schedule)}"] if schedule else []
    return ", ".join(parts)


def _describe(value: Any) -> str:
    """A distribution or schedule with its parameters, as a recipe writes them, or a parameter."""
    if isinstance(value, float):
        return f"{value:g}"
    if not (isinstance(value, dict) and len(value) == 1):
        return json.dumps(value, default=str)
    ((name, parameters),) = value.items()
    if not isinstance(parameters, dict):
        return json.dumps(value, default=str)
    texts = [f"{key} {_describe(each)}" for key, each in parameters.items()]
    return f"{name} ({', '.join(texts)})"
