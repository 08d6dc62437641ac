import numpy as np
import pytest

from r2mae.errors import InputError
from r2mae.evaluation.features import LabelledFeatures
from r2mae.evaluation.probe import probe


def blobs(seed, num, spread):
    """Four classes around the corners of a square, features (num, 2)."""
    generator = np.random.default_rng(seed)
    labels = np.arange(num) % 4
    centres = np.array([[0, 0], [0, 4], [4, 0], [4, 4]])[labels]
    return LabelledFeatures((centres + generator.normal(0, spread, (num, 2))).astype(np.float32) - 2, labels)


@pytest.mark.parametrize("task", ["knn", "linear_probe"])
def test_all_labels_give_one_number(task):
    score = probe(task, blobs(0, 400, 0.3), blobs(1, 200, 0.3))
    assert score.accuracy > 0.8
    assert (score.half_width, score.draws) == (None, 1)


def test_few_labels_give_an_interval_that_shrinks_with_draws():
    train, test = blobs(0, 400, 1.5), blobs(1, 200, 1.5)
    few, many = (probe("linear_probe", train, test, labels_per_class=3, num_draws=n) for n in (5, 40))
    assert 0 < many.half_width < few.half_width
    assert probe("linear_probe", train, test, labels_per_class=50).accuracy > many.accuracy


def test_draws_are_paired_over_encoders():
    train, test = blobs(0, 400, 1.5), blobs(1, 200, 1.5)
    shifted = (
        LabelledFeatures(train.features * 2 + 1, train.labels),
        LabelledFeatures(test.features * 2 + 1, test.labels),
    )
    one = probe("linear_probe", train, test, labels_per_class=3)
    assert one == probe("linear_probe", *shifted, labels_per_class=3)
    assert one != probe("linear_probe", train, test, labels_per_class=3, seed=1)


def test_more_labels_than_there_are_is_refused():
    with pytest.raises(InputError):
        probe("knn", blobs(0, 40, 1.0), blobs(1, 20, 1.0), labels_per_class=11)
