"""Random draws of a few labelled samples per class, for few-label probes."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from r2mae.errors import InputError
from r2mae.metrics._checks import Integers, as_labels, check_count


def few_label_draws(
    labels: npt.ArrayLike,
    labels_per_class: int,
    num_draws: int,
    seed: int,
    class_names: Mapping[int, str] | None = None,
) -> list[Integers]:
    """num_draws index arrays (C x labels_per_class,) into labels (N,), classes in ascending order.

    Within a draw each class gives labels_per_class different samples. A draw depends only on labels,
    labels_per_class, seed and its own number: more draws leave the first ones as they are.
    class_names: names of labels in error messages.

    Raises: InputError when a class has fewer than labels_per_class samples.
    Raises: ValueError for labels that are not integers, counts below 1 and a negative seed.
    """
    array = as_labels("labels", labels)
    check_count("labels_per_class", labels_per_class)
    check_count("num_draws", num_draws)
    check_count("seed", seed, minimum=0)
    classes, sizes = np.unique(array, return_counts=True)
    if sizes.min() < labels_per_class:
        smallest = int(classes[sizes.argmin()])
        rule = f"be at most {sizes.min()}, the samples of class {(class_names or {}).get(smallest, smallest)}"
        remedy = "Lower it or use a larger split."
        raise InputError(
            f"labels_per_class must {rule}, got {labels_per_class}. {remedy}"
        )
    members = [np.flatnonzero(array == label) for label in classes]
    return [
        _draw(members, labels_per_class, np.random.default_rng([seed, draw]))
        for draw in range(num_draws)
    ]


def _draw(
    members: list[npt.NDArray[np.intp]], size: int, generator: np.random.Generator
) -> Integers:
    chosen = [generator.choice(indices, size, replace=False) for indices in members]
    return np.concatenate(chosen).astype(np.int64)
