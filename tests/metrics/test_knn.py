import math
from functools import partial

import numpy as np
import pytest

from r2mae.metrics import _rows, knn
from r2mae.metrics.knn import knn_accuracy
from tests.metrics.traced import traced


def angles(*degrees):
    """Points on the unit circle, (N, 2)."""
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def brute_force(train, known, test, truth, neighbors, temperature):
    hits = 0
    for row, label in zip(test, truth, strict=True):
        cosines = [
            float(row @ other) / math.sqrt(float(row @ row) * float(other @ other))
            for other in train
        ]
        near = sorted(range(len(train)), key=lambda i: (-cosines[i], known[i]))[
            :neighbors
        ]
        votes = {}
        for i in near:
            votes[int(known[i])] = votes.get(int(known[i]), 0.0) + math.exp(
                cosines[i] / temperature
            )
        best = max(votes.values())
        hits += min(name for name, vote in votes.items() if vote == best) == label
    return hits / len(test)


@pytest.mark.parametrize("neighbors", [1, 5, 20, 1000])
@pytest.mark.parametrize("temperature", [0.02, 0.07, 1.0])
def test_agrees_with_brute_force(neighbors, temperature):
    generator = np.random.default_rng(neighbors)
    labels = np.array([-3, 7, 100])
    codes_train, codes_test = (
        generator.integers(3, size=90),
        generator.integers(3, size=80),
    )
    centres = generator.normal(size=(3, 6))
    train = centres[codes_train] + 1.5 * generator.normal(size=(90, 6))
    test = centres[codes_test] + 1.5 * generator.normal(size=(80, 6))
    got = knn_accuracy(
        train,
        labels[codes_train],
        test,
        labels[codes_test],
        num_neighbors=neighbors,
        temperature=temperature,
    )
    want = brute_force(
        train, labels[codes_train], test, labels[codes_test], neighbors, temperature
    )
    assert got == want
    assert 0 < got < 1


def test_one_near_neighbor_outweighs_two_far_ones():
    train, known = angles(5, 60, -60), [1, 0, 0]
    assert (
        knn_accuracy(train, known, angles(0), [1], num_neighbors=3, temperature=0.07)
        == 1
    )
    assert (
        knn_accuracy(train, known, angles(0), [0], num_neighbors=3, temperature=10.0)
        == 1
    )


def test_length_does_not_count():
    train = angles(0, 40) * np.array([[1e-3], [1e6]])
    assert knn_accuracy(train, [0, 1], angles(10), [0], num_neighbors=1) == 1
    assert (
        knn_accuracy(
            angles(0, 40) * 1e200, [0, 1], angles(10) * 1e-200, [0], num_neighbors=1
        )
        == 1
    )


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_equal_votes_go_to_the_lowest_label(order):
    train, known = angles(30, 50, -30, -50)[order], np.array([9, 9, 4, 4])[order]
    for neighbors in (1, 2, 3, 4):
        assert knn_accuracy(train, known, angles(0), [4], num_neighbors=neighbors) == 1


def test_copies_tie_wherever_they_lie():
    generator = np.random.default_rng(0)
    row = generator.normal(size=37)
    known = generator.permutation(np.arange(101))
    test = np.stack([row + 0.3 * generator.normal(size=37) for _ in range(9)])
    # Of other lengths, so that normalising leaves them different in their last bits.
    copies = row * generator.uniform(0.1, 10, size=(101, 1))
    assert knn_accuracy(copies, known, test, [0] * 9, num_neighbors=1) == 1


def test_large_sets_score_as_their_parts_do(monkeypatch):
    generator = np.random.default_rng(1)
    train, test = generator.normal(size=(9000, 3)), generator.normal(size=(1500, 3))
    known, truth = generator.integers(4, size=9000), generator.integers(4, size=1500)
    train[4500:] = 2 * train[:4500]  # ties beyond the first block
    whole = knn.knn_predict(train, known, test, truth)
    monkeypatch.setattr(_rows, "_KEPT", 0)
    monkeypatch.setattr(knn, "_BLOCK", 1 << 21)
    told = []
    predicted = knn.knn_predict(
        train, known, test, truth, progress=lambda *at: told.append(at)
    )
    assert told == [(1024, 1500), (1500, 1500)]
    np.testing.assert_array_equal(predicted, whole)
    parts = [
        knn.knn_predict(train, known, test[part], truth[part])
        for part in np.split(np.arange(1500), 3)
    ]
    np.testing.assert_array_equal(predicted, np.concatenate(parts))


def test_memory_does_not_grow_with_float64_copies_or_similarities(monkeypatch):
    generator = np.random.default_rng(2)
    train = generator.normal(size=(20_000, 64)).astype(np.float32)
    known = generator.integers(4, size=20_000)
    monkeypatch.setattr(_rows, "_KEPT", 1 << 18)
    monkeypatch.setattr(knn, "_BLOCK", 1 << 18)
    _, extra = traced(knn.knn_predict, train, known, train[:64], known[:64])
    assert extra < 2 * train.nbytes


def test_memory_of_many_neighbors_is_bounded(monkeypatch):
    generator = np.random.default_rng(0)
    train = generator.normal(size=(4000, 2))
    known = generator.integers(4, size=4000)
    monkeypatch.setattr(knn, "_BLOCK", 1 << 18)  # 2 MiB
    predict = partial(knn.knn_predict, num_neighbors=4000)
    _, extra = traced(predict, train, known, train[:1024], known[:1024])
    assert extra < 1 << 24


def test_unknown_test_labels_and_zero_rows():
    assert knn_accuracy(angles(0, 90), [0, 1], angles(0, 90), [0, 5]) == 0.5
    assert (
        knn_accuracy(
            np.vstack([angles(20), [[0, 0]]]), [1, 0], angles(0), [1], num_neighbors=1
        )
        == 1
    )
    assert knn_accuracy(angles(0, 90), [3, 2], [[0.0, 0.0]], [2]) == 1


GOOD = {
    "train_features": np.eye(3),
    "train_labels": [0, 1, 2],
    "test_features": np.eye(3)[:2],
    "test_labels": [0, 1],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"train_features": np.ones(3)},
            r"train_features must have 2 axes, none empty, got shape \(3,\)",
        ),
        (
            {"test_features": np.ones((0, 3))},
            r"test_features must have 2 axes, none empty, got shape \(0, 3\)",
        ),
        (
            {"test_features": np.full((2, 3), np.nan)},
            "test_features must be finite, got 6 NaN",
        ),
        ({"train_features": np.array([["a"]])}, "train_features must be real numbers"),
        ({"train_features": np.eye(3) * 1j}, "train_features must be real numbers"),
        (
            {"test_features": np.ones((2, 4))},
            r"as many columns as train_features \(3\), got 4",
        ),
        (
            {"train_labels": [0, 1]},
            r"train_labels must be as long as its features \(3\), got 2",
        ),
        (
            {"test_labels": [0, 1, 2]},
            r"test_labels must be as long as its features \(2\), got 3",
        ),
        (
            {"train_labels": [0.0, 1.0, 2.0]},
            "train_labels must be integers, got float64",
        ),
        ({"test_labels": [[0, 1]]}, "test_labels must have 1 axis"),
        ({"num_neighbors": 0}, "num_neighbors must be an integer of at least 1, got 0"),
        ({"num_neighbors": 2.0}, "num_neighbors must be an integer"),
        ({"temperature": 0.0}, "temperature must be positive and finite, got 0.0"),
        (
            {"temperature": float("nan")},
            "temperature must be positive and finite, got nan",
        ),
    ],
)
def test_bad_input_is_one_line(change, message):
    with pytest.raises(ValueError, match=message) as caught:
        knn_accuracy(**(GOOD | change))
    assert "\n" not in str(caught.value)
