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

_CHUNK = 1 << 23  # similarities in memory at a time: 64 MiB of float64
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
    of the training set does not matter. A row of zeros has cosine 0 with everything. Memory: the features in
    float64, and 64 MiB of similarities at a time (one row of N where that is more).
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
    train, test = _normalize(train[by_label]), _normalize(test)
    neighbors = min(num_neighbors, len(train))
    rows = max(1, _CHUNK // len(train))
    predicted = np.zeros(len(test), dtype=np.int64)
    for start in range(0, len(test), rows):
        similarity = np.round(test[start : start + rows] @ train.T, _DECIMALS)
        votes = [_vote(row, codes, neighbors, temperature) for row in similarity]
        predicted[start : start + rows] = classes[votes]
        if progress is not None:
            progress(min(start + rows, len(test)), len(test))
    return predicted


def _normalize(features: Floats) -> Floats:
    """Rows (N, D) scaled to length 1; rows of zeros stay."""
    # Scaled by the largest value first, so that squares neither overflow nor vanish.
    peak = np.abs(features).max(axis=1, keepdims=True)
    scaled = features / np.where(peak > 0, peak, 1)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.asarray(scaled / np.where(length > 0, length, 1))


def _vote(
    similarity: Floats, codes: Integers, neighbors: int, temperature: float
) -> int:
    """The class code that wins; similarity (N,) and codes (N,) lie in ascending order of code."""
    partitioned = np.partition(similarity, -neighbors)
    threshold = partitioned[-neighbors]
    near = np.flatnonzero(similarity >= threshold)
    by_distance = np.argsort(-similarity[near], kind="stable")
    near = near[by_distance][:neighbors]
    # Relative to the nearest neighbour, which does not change the vote and cannot overflow.
    relative = similarity[near] - similarity[near[0]]
    weights = np.exp(relative / temperature)
    votes = np.bincount(codes[near], weights)
    return int(votes.argmax())
