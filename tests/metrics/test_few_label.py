from collections import Counter

import numpy as np
import pytest

from r2mae.errors import InputError
from r2mae.metrics.few_label import few_label_draws

LABELS = np.random.default_rng(0).permutation(np.repeat([9, -2, 40], [5, 12, 30]))


@pytest.mark.parametrize("labels_per_class", [1, 3, 5])
def test_every_class_gives_as_many_different_samples(labels_per_class):
    for draw in few_label_draws(LABELS, labels_per_class, 20, 0):
        assert len(set(draw.tolist())) == len(draw) == 3 * labels_per_class
        assert LABELS[draw].tolist() == sorted([-2, 9, 40] * labels_per_class)


def test_a_draw_depends_on_seed_and_number_only():
    few, many = few_label_draws(LABELS, 2, 3, 7), few_label_draws(LABELS, 2, 10, 7)
    np.random.seed(0)
    again = few_label_draws(LABELS.tolist(), 2, 10, 7)
    assert [draw.tolist() for draw in many] == [draw.tolist() for draw in again]
    assert [draw.tolist() for draw in few] == [draw.tolist() for draw in many[:3]]


def test_draws_and_seeds_differ():
    draws = [
        tuple(draw.tolist())
        for seed in range(5)
        for draw in few_label_draws(LABELS, 5, 5, seed)
    ]
    assert len(set(draws)) == 25


def test_samples_of_a_class_are_equally_likely():
    counts = Counter(
        int(index) for draw in few_label_draws(LABELS, 3, 2000, 1) for index in draw
    )
    for label, size in ((9, 5), (-2, 12), (40, 30)):
        share = 3 / size
        deviation = np.sqrt(2000 * share * (1 - share))
        for index in np.flatnonzero(label == LABELS):
            assert abs(counts[int(index)] - 2000 * share) < 5 * deviation


def test_a_class_that_is_too_small_is_named():
    with pytest.raises(InputError) as caught:
        few_label_draws(LABELS, 6, 1, 0)
    assert str(caught.value) == (
        "labels_per_class must be at most 5, the samples of class 9, got 6. Lower it or use a larger split."
    )


def test_a_class_is_called_by_its_name():
    with pytest.raises(InputError, match="the samples of class wolf, got 6"):
        few_label_draws(LABELS, 6, 1, 0, {9: "wolf"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0.5, 1.5]}, "labels must be integers, got float64"),
        ({"labels": []}, "labels must have 1 axis, not empty"),
        ({"labels": [[0, 1]]}, "labels must have 1 axis"),
        (
            {"labels_per_class": 0},
            "labels_per_class must be an integer of at least 1, got 0",
        ),
        ({"labels_per_class": True}, "labels_per_class must be an integer"),
        ({"num_draws": 0}, "num_draws must be an integer of at least 1, got 0"),
        ({"seed": -1}, "seed must be an integer of at least 0, got -1"),
    ],
)
def test_bad_input_is_one_line(change, message):
    good = {"labels": LABELS, "labels_per_class": 1, "num_draws": 1, "seed": 0}
    with pytest.raises(ValueError, match=message) as caught:
        few_label_draws(**(good | change))
    assert "\n" not in str(caught.value)
