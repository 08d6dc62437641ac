import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import f1_score
from torch import nn

from r2mae.errors import InputError
from r2mae.evaluation.classification import (
    binary_f1,
    compare,
    matthews,
    predict,
    score,
    summarize,
    truth,
)


class Labelled:
    def __init__(self, labels):
        self.labels = np.array(labels)
        self.class_names = {number: f"class {number}" for number in labels}

    def __len__(self):
        return len(self.labels)


def of(labels, classes):
    return truth(Labelled(labels), np.array(labels), classes)


def test_labels_become_places_in_the_head():
    assert of([30, 10, 30], [10, 20, 30]).tolist() == [2, 0, 2]
    with pytest.raises(InputError, match="got 1 more: class 40"):
        of([10, 40], [10, 20, 30])


def test_places_follow_the_order_of_classes_whatever_it_is():
    assert of([7, 900, 7, 3], [900, 3, 7]).tolist() == [2, 0, 2, 1]


def test_class_scores():
    expected, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
    found = score(predicted, expected)
    assert found["accuracy"] == 0.75
    assert found["macro_f1"] == pytest.approx(
        f1_score(expected, predicted, average="macro")
    )
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found["balanced_accuracy"] == pytest.approx((1 / 2 + 1 + 1) / 3)


def test_intervals_cover_the_truth():
    """Items answered rightly with probability 0.7: 95 % of the intervals over items hold it."""
    generator = np.random.default_rng(0)
    expected = np.zeros(300, dtype=np.int64)
    held = []
    for _ in range(500):
        predicted = (generator.random(300) > 0.7).astype(np.int64)
        # Minus a classifier that is always wrong: the interval of accuracy, without the bootstrap of `summarize`.
        score = compare([predicted], [expected + 1], expected)
        held.append(abs(score["difference"] - 0.7) < score["half_width"])
    assert np.mean(held) == pytest.approx(0.95, abs=0.025)
    alone = summarize([predicted], expected)
    assert alone["accuracy"] == pytest.approx(score["difference"])
    test = binomtest(int((predicted == expected).sum()), 300)
    low, high = test.proportion_ci(method="wilson")
    further = max(alone["accuracy"] - low, high - alone["accuracy"])
    assert alone["half_width"] == pytest.approx(further)


def test_one_interval_covers_samples_and_seeds():
    expected = np.array([0, 1, 1, 0])
    one = summarize([expected], expected)
    two = summarize([expected, 1 - expected], expected)
    assert (two["accuracy"], two["seeds"]) == (0.5, [1.0, 0.0])
    # Each sample is answered rightly by one of two seeds: the seeds alone vary.
    # The share has variance 0.25, as one sample, and t has one degree of freedom.
    squared = 12.7062**2
    assert two["half_width"] == pytest.approx(np.sqrt(squared / (1 + squared)) / 2)
    assert one["half_width"] < two["half_width"]


def test_perfect_predictions_have_no_interval_of_matthews():
    expected = np.arange(12) % 3
    score = summarize([expected, expected], expected)
    assert score["matthews"] == pytest.approx(1.0)
    assert score["matthews_half_width"] is None


def test_prediction_is_without_dropout_and_leaves_no_mode_behind():
    model = nn.Sequential(nn.Dropout(0.9), nn.Flatten(), nn.Linear(4, 3)).train()
    images = torch.randn(200, 4)

    class Source:
        def __len__(self):
            return len(images)

        labels = np.arange(200)

        def load(self, rows, positions, seed):
            return {
                "images": images[rows],
                "indices": rows,
                "skipped": ("x",) if 3 in rows else (),
            }

    class Takes(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, batch):
            return self.inner(batch["images"])

    found, labels, skipped = predict(Takes().train(), Source())
    assert labels.tolist() == list(range(200))
    assert skipped == {"x"}
    assert found.tolist() == model[2](images).argmax(dim=1).tolist()


@pytest.mark.parametrize("num_classes", [2, 3, 50])
def test_matthews_is_scikit_learns(num_classes):
    from sklearn.metrics import matthews_corrcoef

    draw = np.random.default_rng(num_classes)
    for _ in range(5):
        expected, other = draw.integers(0, num_classes, (2, 200))
        predicted = np.where(draw.random(200) < 0.5, expected, other)
        reference = matthews_corrcoef(expected, predicted)
        assert matthews(predicted, expected) == pytest.approx(reference, abs=1e-12)
    assert matthews(np.zeros(200, dtype=np.int64), expected) == 0.0
    assert matthews(expected, expected) == pytest.approx(1.0)


def test_matthews_interval_is_the_bootstraps():
    from sklearn.metrics import matthews_corrcoef

    draw = np.random.default_rng(3)
    expected = draw.integers(0, 3, 250)
    predictions = [
        np.where(draw.random(250) < 0.6, expected, draw.integers(0, 3, 250))
        for _ in range(2)
    ]
    score = summarize(predictions, expected)
    rows = draw.integers(0, 250, (400, 250))
    means = [
        np.mean([matthews_corrcoef(expected[row], found[row]) for found in predictions])
        for row in rows
    ]
    of_seeds = [matthews(found, expected) for found in predictions]
    over_seeds = 12.7062 * abs(of_seeds[0] - of_seeds[1]) / 2
    expected_width = np.hypot(1.96 * np.std(means), over_seeds)
    assert score["matthews_half_width"] == pytest.approx(expected_width, rel=0.15)


def test_f1_of_two_classes_is_scikit_learns():
    draw = np.random.default_rng(0)
    expected = draw.integers(0, 2, 100)
    predictions = [np.where(draw.random(100) < 0.8, expected, 0) for _ in range(2)]
    score = summarize(predictions, expected)
    theirs = [f1_score(expected, predicted) for predicted in predictions]
    assert score["f1"] == pytest.approx(np.mean(theirs))
    assert 0 < score["f1_half_width"] < 0.2
    assert binary_f1(np.zeros(3, int), np.zeros(3, int)) == 0.0
    assert summarize([np.array([0, 1, 2])], np.array([0, 1, 2]))["f1"] is None
