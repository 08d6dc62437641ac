"""Sizes, labels and settings of stand-in data: random samples for missing data."""

import json
import math
from typing import Any

from r2mae.schema.recipe import AnyRecipe

HELD_OUT = 0.25  # share of the training split
TEST_SAMPLES = 16
_LEAST_SAMPLES = 24  # a stand-in for tiny batches has held-out samples too


def num_samples(recipe: AnyRecipe) -> int:
    """Samples of the training split, `HELD_OUT` of which do not train.

    The others fill two micro-batches of a device. Each class has at least the labels that
    `repeat.labels_per_class` asks for.
    """
    repeat = getattr(recipe, "repeat", None)
    per_class = [
        count for count in getattr(repeat, "labels_per_class", ()) if count != "all"
    ]
    # Twice, since classes are not equally frequent in what trains.
    labelled = 2 * max(per_class, default=1) * len(class_names(recipe))
    least = max(2 * recipe.per_device_samples, labelled, _LEAST_SAMPLES)
    return math.ceil(least / (1 - HELD_OUT))


def class_names(recipe: AnyRecipe) -> list[str]:
    """Names of classes: those of `tune.target` or `tune.class_weights`, then up to `tune.num_classes` or 2."""
    tune = getattr(recipe, "tune", None)
    size = getattr(tune, "num_classes", None) or 2
    if tune is not None and tune.target.name == "ordinal":
        return list(tune.target.order or map(str, range(size)))
    weights = getattr(tune, "class_weights", None)
    names = list(weights) if isinstance(weights, dict) else []
    missing = size - len(names)
    return names + [f"class_{number}" for number in range(missing)]


def make_labels(recipe: AnyRecipe, count: int) -> list[str]:
    """Class names of samples, each class as often; numbers where the task is regression."""
    tune = getattr(recipe, "tune", None)
    if tune is not None and tune.target.name == "regression":
        return [str(number / count) for number in range(count)]
    names = class_names(recipe)
    return [names[number % len(names)] for number in range(count)]


def data_settings(values: dict[str, Any]) -> list[str]:
    """`--set` arguments for keys of the data section."""
    return [f"data.{key}={json.dumps(value)}" for key, value in values.items()]
