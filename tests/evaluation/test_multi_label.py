"""Scores of several labels a sample: scikit-learn's, their intervals, and what is paired."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from r2mae.data.arrays import ArraySource
from r2mae.errors import InputError
from r2mae.evaluation.multi_label import (
    check_labels,
    compare,
    label_matrix,
    label_names,
    score,
    summarize,
)


def make(size=80, labels=4, noise=0.3, seed=0):
    draw = np.random.default_rng(seed)
    truth = draw.random((size, labels)) < 0.3
    return np.clip(
        truth * 0.6 + 0.2 + noise * draw.normal(size=truth.shape), 0, 1
    ), truth


def test_scores_are_scikit_learns():
    probabilities, truth = make()
    scores, predicted = score(probabilities, truth), probabilities > 0.5
    for average in ("micro", "macro"):
        theirs = f1_score(truth, predicted, average=average)
        assert scores[f"{average}_f1"] == pytest.approx(theirs)
    theirs = average_precision_score(truth, probabilities, average="macro")
    assert scores["average_precision"] == pytest.approx(theirs)


def test_a_label_that_no_sample_has_is_left_out_of_average_precision():
    probabilities, truth = make()
    alone = score(probabilities, truth)["average_precision"]
    with_empty = score(
        np.c_[probabilities, np.full(len(truth), 0.1)],
        np.c_[truth, truth[:, 0] & False],
    )
    assert with_empty["average_precision"] == pytest.approx(alone)
    nothing = score(np.zeros((3, 2)), np.zeros((3, 2)))
    assert set(nothing.values()) == {0.0}


def test_names_and_matrix_follow_the_names_of_classes():
    names = ["b;a", ";", "10|a ; 9"]
    source = ArraySource(
        {"x": np.zeros((4, 1))}, labels=np.array([0, 1, 2, 0]), class_names=names
    )
    assert label_names(source) == ["9", "10", "a", "b"]
    matrix = label_matrix(source.labels, source.class_names, ["9", "10", "a", "b"])
    assert matrix.astype(int).tolist() == [
        [0, 0, 1, 1],
        [0, 0, 0, 0],
        [1, 1, 1, 0],
        [0, 0, 1, 1],
    ]
    fewer = label_matrix(source.labels, source.class_names, ["b"])
    assert fewer[:, 0].tolist() == [True, False, False, True]
    unlabelled = label_matrix(np.array([-1, 0]), source.class_names, ["a", "b"])
    assert unlabelled.tolist() == [[False, False], [True, True]]
    with pytest.raises(InputError, match="must have labels"):
        label_names(ArraySource({"x": np.zeros((4, 1))}))


def test_differences_are_paired():
    theirs, truth = make(300)
    ours = theirs + 0.1 * (truth - theirs)
    found, alone = (
        compare([ours] * 2, [theirs] * 2, truth),
        summarize([ours] * 2, truth),
    )
    expected = score(ours, truth)["micro_f1"] - score(theirs, truth)["micro_f1"]
    assert found["difference"] == pytest.approx(expected)
    assert found["difference"] > 0
    assert found["half_width"] < alone["half_width"]
    assert alone["seeds"] == [alone["micro_f1"]] * 2


def test_labels_that_training_has_not_are_refused():
    check_labels(["a", "b"], ["b"])
    with pytest.raises(InputError, match="got 1 more: c"):
        check_labels(["a", "b"], ["c", "a"])
