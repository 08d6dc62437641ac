import numpy as np
import pytest

from r2mae.evaluation import classification
from r2mae.evaluation.features import LabelledFeatures
from r2mae.evaluation.probe import compare, probe, probe_predictions, summarize
from r2mae.metrics.few_label import few_label_draws
from r2mae.metrics.interval import share_interval


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
    assert score.draws == 1
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
    probe_predictions("linear_probe", train, test, status=said.append)
    assert said[0] == "iteration 0, loss 1.386294"
    assert len(said) > 3
    probe_predictions("knn", train, test, status=said.append)
    assert said[-1] == "200 of 200 samples"
    probe_predictions("knn", train, test, draws=few(train, 3, 2), status=said.append)
    assert said[-2:] == ["draw 1 of 2", "draw 2 of 2"]


EXPECTED = np.zeros(4, dtype=int)


def test_predictions_become_scores_and_a_paired_difference():
    ours, theirs = np.array([[0, 0, 0, 1]]), np.array([[0, 1, 1, 1]])
    assert summarize(ours, EXPECTED).to_dict() == {
        "accuracy": 0.75,
        "half_width": pytest.approx(0.449, abs=1e-3),  # Wilson's interval
        "balanced_accuracy": 0.75,
        "macro_f1": pytest.approx((6 / 7 + 0) / 2),
        "draws": 1,
    }
    one = compare(ours, theirs, EXPECTED)
    assert (one.difference, one.draws) == (0.5, 1)
    # Two of six items differ from the mean by 1, four by 0.5.
    assert one.half_width == pytest.approx(1.959964 * np.sqrt(2 + 4 * 0.25) / 6)


def test_the_interval_over_draws_covers_items_and_draws():
    predicted = np.array([[0, 0, 0, 1], [0, 1, 1, 1]])
    assert summarize(predicted, EXPECTED).accuracy == 0.5
    alone = summarize(predicted[:1], EXPECTED).half_width
    assert alone < summarize(predicted, EXPECTED).half_width < 1


def test_balanced_accuracy_counts_rare_classes_like_frequent_ones():
    expected = np.array([0] * 9 + [1])
    score = summarize(np.zeros((1, 10), dtype=int), expected)
    assert score.accuracy == 0.9
    assert score.balanced_accuracy == 0.5
    assert score.macro_f1 == pytest.approx(9 / 19)


def test_12_of_12_right_has_one_interval_on_every_path():
    """Probes with and without draws, fine-tuning with one and several seeds."""
    expected = np.arange(12) % 3
    right = np.stack([expected] * 3)
    half_widths = {
        summarize(right[:1], expected).half_width,
        summarize(right, expected).half_width,
        classification.summarize([expected], expected)["half_width"],
        classification.summarize([expected] * 3, expected)["half_width"],
        share_interval(np.full(12, 7), np.full(12, 7))[1],  # tokens of rows
    }
    assert {round(width, 12) for width in half_widths} == {0.242494006655}
    differences = {
        compare(right[:1], right[:1], expected).half_width,
        compare(right, right, expected).half_width,
        classification.compare([expected], [expected], expected)["half_width"],
    }
    assert {round(width, 6) for width in differences} == {0.197986}


def test_paired_intervals_over_items_cover_and_are_shorter_than_unpaired_ones():
    generator = np.random.default_rng(0)
    inside, rounds, items = 0, 2000, 400
    right = np.ones(items, dtype=bool)
    for _ in range(
        rounds
    ):  # hard items are hard for both: 0.8 and 0.75 of the same thresholds
        ease = generator.random(items)
        ours, theirs = (
            (ease < 0.8)[None],
            ((ease < 0.7) | (generator.random(items) < 0.05 / 0.3))[None],
        )
        inside += (
            abs((found := compare(ours, theirs, right)).difference - 0.05)
            <= found.half_width
        )
        alone = [share_interval(predicted)[1] for predicted in (ours, theirs)]
        assert found.half_width < np.hypot(*alone)
    assert abs(inside / rounds - 0.95) < 0.02
