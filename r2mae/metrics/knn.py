"""Accuracy of a weighted kNN classifier on features."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.metrics._checks import (
    Floats,
    Integers,
    as_splits,
    check_count,
    check_positive,
)
from r2mae.metrics._rows import Converted, parts

_TEST_ROWS = 1024  # at a time
_BLOCK = 1 << 23  # similarities or values of features at a time: 64 MiB of float64
# BLAS sums in varying order, so equal cosines may differ in their last bits; rounding restores ties.
_DECIMALS = 12


def knn_accuracy(
    train_features: npt.ArrayLike,
    train_labels: npt.ArrayLike,
    test_features: npt.ArrayLike,
    test_labels: npt.ArrayLike,
    **options: Any,
) -> float:
    """Share of test samples, in [0, 1], that `knn_predict` gives their label."""
    predicted = knn_predict(
        train_features, train_labels, test_features, test_labels, **options
    )
    return float((predicted == np.asarray(test_labels)).mean())


def knn_predict(
    train_features: npt.ArrayLike,
    train_labels: npt.ArrayLike,
    test_features: npt.ArrayLike,
    test_labels: npt.ArrayLike,
    *,
    num_neighbors: int = 20,
    temperature: float = 0.07,
    progress: Callable[[int, int], None] | None = None,
) -> Integers:
    """(M,) labels by the vote of the nearest neighbours in cosine; test_labels are only checked.

    Shapes (N, D), (N,), (M, D), (M,); labels are integers, contiguous or not. A neighbour's vote weighs
    exp(cosine / temperature). min(num_neighbors, N) neighbours vote: all, where N is smaller. Equal votes
    go to the lowest label, and of equally near neighbours those of the lowest label vote first, so the order
    of the training set does not matter. A row of zeros has cosine 0 with everything. Memory beyond the
    features: less than 1 GB, unless a single row is larger.
    progress: called with (test samples done, M).

    Raises: ValueError for shapes that disagree, values not finite, num_neighbors < 1, temperature <= 0.
    Source: Wu et al. 2018 (arXiv:1805.01978), section 3.4; 20 and 0.07 as in DINO (arXiv:2104.14294).
    """
    train, labels, test, _ = as_splits(
        train_features, train_labels, test_features, test_labels
    )
    check_count("num_neighbors", num_neighbors)
    check_positive("temperature", temperature)
    by_label = np.argsort(labels, kind="stable")
    classes, codes = np.unique(labels[by_label], return_inverse=True)
    sorted_train = Converted(train, _normalize, by_label)
    neighbors = min(num_neighbors, len(train))
    predicted = np.zeros(len(test), dtype=np.int64)
    columns = max(_BLOCK // _TEST_ROWS, test.shape[1], neighbors)
    for rows in parts(len(test), columns, _BLOCK):
        near = _nearest(_normalize(test[rows]), sorted_train, neighbors)
        votes = [_vote(*row, codes, temperature) for row in zip(*near, strict=True)]
        predicted[rows] = classes[votes]
        if progress is not None:
            progress(min(rows.stop, len(test)), len(test))
    return predicted


def _normalize(features: npt.NDArray[Any]) -> Floats:
    """Rows (N, D) in float64, scaled to length 1; rows of zeros stay."""
    features = features.astype(np.float64)
    # Scaled by the largest value first, so that squares neither overflow nor vanish.
    peak = np.abs(features).max(axis=1, keepdims=True)
    scaled = features / np.where(peak > 0, peak, 1)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.asarray(scaled / np.where(length > 0, length, 1))


def _nearest(test: Floats, train: Converted, neighbors: int) -> tuple[Floats, Integers]:
    """(similarities, rows of train), each (M, neighbors): the nearest first, of equally near rows the first."""
    columns = max(len(test), test.shape[1])
    first, *others = parts(len(train), columns, max(_BLOCK, neighbors * columns))
    similarity = _cosines(test, train[first])
    nearest = np.stack([_highest(row, neighbors) for row in similarity])
    best = np.take_along_axis(similarity, nearest, axis=1)
    for rows in others:
        similarity = _cosines(test, train[rows])
        is_near = similarity > best[:, -1:]
        for number in np.flatnonzero(is_near.any(axis=1)):
            near = np.flatnonzero(is_near[number])
            candidates = np.concatenate([best[number], similarity[number, near]])
            indices = np.concatenate([nearest[number], rows.start + near])
            order = _highest(candidates, neighbors)
            best[number], nearest[number] = candidates[order], indices[order]
    return best, nearest


def _cosines(test: Floats, train: Floats) -> Floats:
    """(M, N) of rows of length 1."""
    similarity = test @ train.T
    return np.round(similarity, _DECIMALS, out=similarity)


def _highest(values: Floats, count: int) -> npt.NDArray[np.intp]:
    """(count,) places of the highest values, falling; of equal values the first."""
    threshold = np.partition(values, -count)[-count]
    high = np.flatnonzero(values >= threshold)
    by_value = np.argsort(-values[high], kind="stable")
    return high[by_value][:count]


def _vote(
    similarity: Floats, near: Integers, codes: Integers, temperature: float
) -> int:
    """The class code that wins; similarity (K,) of the rows `near` falls, codes (N,) rise."""
    # Relative to the nearest neighbour, which does not change the vote and cannot overflow.
    weights = np.exp((similarity - similarity[0]) / temperature)
    votes = np.bincount(codes[near], weights)
    return int(votes.argmax())
