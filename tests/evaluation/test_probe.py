import numpy as np
import pytest

from r2mae.evaluation.features import LabelledFeatures
from r2mae.evaluation.probe import probe
from r2mae.metrics.few_label import few_label_draws


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


def few(data, labels_per_class, num, seed=0):
    return few_label_draws(data.labels, labels_per_class, num, seed)


def test_few_labels_give_an_interval_that_shrinks_with_draws():
    train, test = blobs(0, 400, 1.5), blobs(1, 200, 1.5)
    rough, sharp = (probe("linear_probe", train, test, draws=few(train, 3, num)) for num in (5, 40))
    assert 0 < sharp.half_width < rough.half_width
    assert (rough.draws, sharp.draws) == (5, 40)
    assert probe("linear_probe", train, test, draws=few(train, 50, 5)).accuracy > sharp.accuracy
    assert probe("linear_probe", train, test, draws=few(train, 3, 1)).half_width is None


def test_the_same_draws_pair_encoders():
    train, test = blobs(0, 400, 1.5), blobs(1, 200, 1.5)
    scaled = (
        LabelledFeatures(train.features * 2 + 1, train.labels),
        LabelledFeatures(test.features * 2 + 1, test.labels),
    )
    one = probe("linear_probe", train, test, draws=few(train, 3, 10))
    assert one == probe("linear_probe", *scaled, draws=few(train, 3, 10))
    assert one != probe("linear_probe", train, test, draws=few(train, 3, 10, seed=1))
