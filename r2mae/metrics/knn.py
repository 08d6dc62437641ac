"""How often the nearest labelled neighbours name the right class."""

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

_CHUNK = 1 << 23  # similarities held at once: 64 MiB of float64
# Equal cosines may differ in their last bits, as BLAS sums them in another order; rounded, ties are ties.
_DECIMALS = 12


def knn_accuracy(
    train_features: npt.ArrayLike,
    train_labels: npt.ArrayLike,
    test_features: npt.ArrayLike,
    test_labels: npt.ArrayLike,
    **options: Any,
) -> float:
    """Fraction in [0, 1] of `knn_hits`."""
    return float(
        knn_hits(
            train_features, train_labels, test_features, test_labels, **options
        ).mean()
    )


def knn_hits(
    train_features: npt.ArrayLike,
    train_labels: npt.ArrayLike,
    test_features: npt.ArrayLike,
    test_labels: npt.ArrayLike,
    *,
    num_neighbors: int = 20,
    temperature: float = 0.07,
    progress: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.bool_]:
    """(M,): which test samples' nearest neighbours by cosine vote for their label; see `knn_predict`."""
    options = {
        "num_neighbors": num_neighbors,
        "temperature": temperature,
        "progress": progress,
    }
    found = knn_predict(
        train_features, train_labels, test_features, test_labels, **options
    )  # type: ignore[arg-type]
    return np.asarray(found == np.asarray(test_labels))


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
    """(M,): the label that test samples' nearest neighbours by cosine vote for; test_labels are only checked.

    Shapes (N, D), (N,), (M, D), (M,); labels are integers, contiguous or not. A neighbour's vote weighs
    exp(cosine / temperature). min(num_neighbors, N) neighbours vote: all, where N is smaller. Equal votes
    go to the lowest label, and of equally near neighbours those of the lowest label vote first, so the order
    of the training set does not matter. A row of zeros has cosine 0 with everything. Memory: the features in
    float64, and 64 MiB of similarities at a time (one row of N where that is more). progress: is told (test
    samples done, M).

    Raises: ValueError for shapes that disagree, values not finite, num_neighbors < 1, temperature <= 0.
    Source: Wu et al. 2018 (arXiv:1805.01978), section 3.4; 20 and 0.07 as in DINO (arXiv:2104.14294).
    """
    train, known, test, _ = as_splits(
        train_features, train_labels, test_features, test_labels
    )
    check_count("num_neighbors", num_neighbors)
    check_positive("temperature", temperature)
    by_label = np.argsort(known, kind="stable")
    classes, codes = np.unique(known[by_label], return_inverse=True)
    train, test = _normalize(train[by_label]), _normalize(test)
    neighbors, rows = min(num_neighbors, len(train)), max(1, _CHUNK // len(train))
    predicted = np.zeros(len(test), dtype=np.int64)
    for start in range(0, len(test), rows):
        similarity = np.round(test[start : start + rows] @ train.T, _DECIMALS)
        votes = [_vote(row, codes, neighbors, temperature) for row in similarity]
        predicted[start : start + rows] = classes[votes]
        if progress is not None:
            progress(min(start + rows, len(test)), len(test))
    return predicted


def _normalize(features: Floats) -> Floats:
    """Rows (N, D) at length 1; rows of zeros stay."""
    peak = np.abs(features).max(
        axis=1, keepdims=True
    )  # first, so that squares neither overflow nor vanish
    scaled = features / np.where(peak > 0, peak, 1)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.asarray(scaled / np.where(length > 0, length, 1))


def _vote(
    similarity: Floats, codes: Integers, neighbors: int, temperature: float
) -> int:
    """The class code that wins; similarity (N,) and codes (N,) lie in ascending order of code."""
    threshold = np.partition(similarity, -neighbors)[-neighbors]
    near = np.flatnonzero(similarity >= threshold)
    near = near[np.argsort(-similarity[near], kind="stable")][:neighbors]
    # The nearest weighs 1: the factor is common to all votes, and no temperature overflows.
    weights = np.exp((similarity[near] - similarity[near[0]]) / temperature)
    return int(np.bincount(codes[near], weights).argmax())
