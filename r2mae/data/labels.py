"""Labels of a table's column: class numbers with names, or numbers to predict."""

import hashlib
from typing import Any

import numpy as np

from r2mae.errors import InputError


def class_numbers(rows: Any, label: str, where: str) -> tuple[Any, dict[int, str]]:
    """(numbers (N,), names of the numbers) of a column of classes.

    Raises: InputError for rows without a class, and for numbers that are none.
    """
    found = rows[label][:]
    missing = next((row for row, value in enumerate(found) if value is None), None)
    if missing is not None:
        raise InputError(
            f"{where}: row {missing} of {label} must be a class, got nothing."
        )
    strange = next(
        (
            value
            for value in found
            if isinstance(value, float) and not value.is_integer()
        ),
        None,
    )
    if strange is not None:
        raise InputError(
            f"{where}: {label} must hold classes, got {strange}. Set tune.regression: true for numbers."
        )
    listed = next(
        (row for row, value in enumerate(found) if isinstance(value, (list, dict))),
        None,
    )
    if listed is not None:
        raise InputError(
            f"{where}: row {listed} of {label} must be a class, got {found[listed]!r:.40}."
        )
    huge = next(
        (
            v
            for v in found
            if isinstance(v, (int, float)) and not -(1 << 62) < v < 1 << 62
        ),
        None,
    )
    if huge is not None:
        raise InputError(f"{where}: {label} must hold classes below 2^62, got {huge}.")
    feature = rows.features[label]
    if hasattr(feature, "names"):
        names = {number: str(name) for number, name in enumerate(feature.names)}
        labels = np.array(found, dtype=np.int64)
    elif all(isinstance(value, (int, float)) for value in found):
        labels = np.array(found, dtype=np.int64)
        names = {
            int(value): str(value if isinstance(value, bool) else int(value))
            for value in set(found)
        }
    else:
        words, labels = np.unique(
            np.array([str(value) for value in found]), return_inverse=True
        )
        # By name, so that splits agree whatever classes each has.
        numbers = [
            int(hashlib.sha256(name.encode()).hexdigest()[:12], 16)
            for name in words.tolist()
        ]
        labels, names = (
            np.array(numbers)[labels],
            dict(zip(numbers, words.tolist(), strict=True)),
        )
    if (labels < 0).any():
        row = int(np.flatnonzero(labels < 0)[0])
        raise InputError(
            f"{where}: row {row} of {label} must be a class from 0, got {labels[row]}."
        )
    return labels, names


def real_numbers(values: list[Any], label: str, where: str) -> Any:
    """(N,) float32 of a column of numbers. Raises: InputError for others."""
    for row, value in enumerate(values):
        if not isinstance(value, (int, float)) or not np.isfinite(value):
            raise InputError(
                f"{where}: row {row} of {label} must be a number, got {value!r}."
            )
    return np.array(values, dtype=np.float32)
