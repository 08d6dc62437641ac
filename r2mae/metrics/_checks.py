"""Checks of shape, type and finiteness of the arguments of metrics."""

import numbers
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_BLOCK = 1 << 22  # values


def as_floats(name: str, values: npt.ArrayLike, ndim: int) -> Floats:
    """Values as float64 of ndim axes. Raises: ValueError unless they are real, finite and not empty."""
    return as_real(name, values, ndim).astype(np.float64)


def as_real(name: str, values: npt.ArrayLike, ndim: int) -> npt.NDArray[Any]:
    """Values of ndim axes in their own dtype, without a copy. Raises: as `as_floats`."""
    array = np.asarray(values)
    if array.ndim != ndim or array.size == 0:
        rule = f"have {ndim} {'axis' if ndim == 1 else 'axes'}, none empty"
        raise ValueError(
            f"{name} must {rule}, got shape {array.shape}. Check the array."
        )
    if array.dtype.kind not in "fiu":
        raise ValueError(
            f"{name} must be real numbers, got {array.dtype}. Convert them first."
        )
    # In blocks, which need no mask of all values.
    blocks = np.array_split(array, 1 + array.size // _BLOCK)
    count = sum(block.size - int(np.isfinite(block).sum()) for block in blocks)
    if count:
        raise ValueError(
            f"{name} must be finite, got {count} NaN or infinite values. Look for what made them."
        )
    return array


def as_labels(name: str, labels: npt.ArrayLike) -> Integers:
    """Labels as int64 of shape (N,). Raises: ValueError unless they are integers in one axis, not empty."""
    array = np.asarray(labels)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"{name} must have 1 axis, not empty, got shape {array.shape}. Check the array."
        )
    if array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be integers, got {array.dtype}. Number the classes first."
        )
    return array.astype(np.int64)


def as_splits(
    train_features: npt.ArrayLike,
    train_labels: npt.ArrayLike,
    test_features: npt.ArrayLike,
    test_labels: npt.ArrayLike,
) -> tuple[npt.NDArray[Any], Integers, npt.NDArray[Any], Integers]:
    """Training and test set, (N, D) (N,) (M, D) (M,), features in their own dtype.

    Raises: ValueError where N, M or D disagree.
    """
    train = as_real("train_features", train_features, 2)
    test = as_real("test_features", test_features, 2)
    codes = as_labels("train_labels", train_labels)
    truth = as_labels("test_labels", test_labels)
    for name, labels, features in (
        ("train_labels", codes, train),
        ("test_labels", truth, test),
    ):
        if len(labels) != len(features):
            rule = f"as long as its features ({len(features)})"
            raise ValueError(
                f"{name} must be {rule}, got {len(labels)}. Pair them row by row."
            )
    if train.shape[1] != test.shape[1]:
        rule = f"as many columns as train_features ({train.shape[1]})"
        raise ValueError(
            f"test_features must have {rule}, got {test.shape[1]}. Use one model for both."
        )
    return train, codes, test, truth


def check_count(name: str, value: Any, minimum: int = 1) -> None:
    """Raises: ValueError unless value is an integer of at least minimum."""
    if (
        isinstance(value, bool)
        or not isinstance(value, numbers.Integral)
        or value < minimum
    ):
        raise ValueError(
            f"{name} must be an integer of at least {minimum}, got {value!r}. Choose another."
        )


def check_positive(name: str, value: float) -> None:
    """Raises: ValueError unless value is positive and finite."""
    if not (np.isfinite(value) and value > 0):
        raise ValueError(
            f"{name} must be positive and finite, got {value!r}. Choose another."
        )
