import numpy as np
import pytest

from r2mae.evaluation.features import LabelledFeatures
from r2mae.evaluation.probe import compare, probe, probe_hits, summarize
from r2mae.metrics.few_label import few_label_draws


def blobs(seed, num, spread):
    """Four classes around the corners of a square, features (num, 2)."""
    generator = np.random.default_rng(seed)
    labels = np.arange(num) % 4
    centres = np.array([[0, 0], [0, 4], [4, 0], [4, 4]])[labels]
    return LabelledFeatures(
        (centres + generator.normal(0, spread, (num, 2))).astype(np.float32) - 2, labels
    )


@pytest.mark.parametrize("task", ["knn", "linear_probe"])
def test_all_labels_give_one_number(task):
    score = probe(task, blobs(0, 400, 0.3), blobs(1, 200, 0.3))
    assert score.accuracy > 0.8
    assert (score.draws, score.over) == (1, "test items")
    assert 0.01 < score.half_width < 1.96 * 0.5 / np.sqrt(200) + 0.01


def few(data, labels_per_class, num, seed=0):
    return few_label_draws(data.labels, labels_per_class, num, seed)


def test_few_labels_give_an_interval_that_shrinks_with_draws():
    train, test = blobs(0, 400, 1.5), blobs(1, 200, 1.5)
    rough, sharp = (
        probe("linear_probe", train, test, draws=few(train, 3, num)) for num in (5, 40)
    )
    assert 0 < sharp.half_width < rough.half_width
    assert (rough.draws, sharp.draws) == (5, 40)
    assert (
        probe("linear_probe", train, test, draws=few(train, 50, 5)).accuracy
        > sharp.accuracy
    )
    assert (
        sharp.over,
        probe("linear_probe", train, test, draws=few(train, 3, 1)).over,
    ) == ("draws", "test items")


def test_the_same_draws_pair_encoders():
    train, test = blobs(0, 400, 1.5), blobs(1, 200, 1.5)
    scaled = (
        LabelledFeatures(train.features * 2 + 1, train.labels),
        LabelledFeatures(test.features * 2 + 1, test.labels),
    )
    one = probe("linear_probe", train, test, draws=few(train, 3, 10))
    assert one == probe("linear_probe", *scaled, draws=few(train, 3, 10))
    assert one != probe("linear_probe", train, test, draws=few(train, 3, 10, seed=1))


def test_progress_is_told(monkeypatch):
    train, test = blobs(0, 400, 0.3), blobs(1, 200, 0.3)
    said = []
    probe_hits("linear_probe", train, test, status=said.append)
    assert said[0] == "iteration 0, loss 1.386294"
    assert len(said) > 3
    probe_hits("knn", train, test, status=said.append)
    assert said[-1] == "200 of 200 samples"
    probe_hits("knn", train, test, draws=few(train, 3, 2), status=said.append)
    assert said[-2:] == ["draw 1 of 2", "draw 2 of 2"]


def test_hits_become_accuracy_and_paired_difference():
    ours, theirs = (
        np.array([[1, 1, 1, 0]], dtype=bool),
        np.array([[1, 0, 0, 0]], dtype=bool),
    )
    assert summarize(ours).to_dict() == {
        "half_width": pytest.approx(0.449, abs=1e-3),
        "draws": 1,
        "over": "test items",
        "accuracy": 0.75,
    }
    one = compare(ours, theirs)
    assert (one.difference, one.over, one.draws) == (0.5, "test items", 1)
    assert one.half_width == pytest.approx(
        3.182446 * np.std([0, 1, 1, 0], ddof=1) / 2, rel=1e-6
    )
    two = compare(np.vstack([ours, ours]), np.vstack([theirs, ours]))
    assert (two.difference, two.over, two.draws) == (0.25, "draws", 2)
    assert two.half_width == pytest.approx(12.7062 * 0.25, rel=1e-4)
    assert (
        compare(ours[:, :1], theirs[:, :1]).half_width is None
    )  # one item: JSON has no nan


def test_paired_intervals_over_items_cover_and_are_shorter_than_unpaired_ones():
    generator = np.random.default_rng(0)
    inside, rounds, items = 0, 2000, 400
    for _ in range(
        rounds
    ):  # hard items are hard for both: 0.8 and 0.75 of the same thresholds
        ease = generator.random(items)
        ours, theirs = (
            (ease < 0.8)[None],
            ((ease < 0.7) | (generator.random(items) < 0.05 / 0.3))[None],
        )
        inside += (
            abs((found := compare(ours, theirs)).difference - 0.05) <= found.half_width
        )
        assert found.half_width < np.hypot(
            summarize(ours).half_width, summarize(theirs).half_width
        )
    assert abs(inside / rounds - 0.95) < 0.02
