import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from r2mae.metrics import _rows, linear_probe
from r2mae.metrics.linear_probe import linear_probe_accuracy, linear_probe_predict
from tests.metrics.traced import traced


def clusters(seed, size, spread=2.0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(3, size=size)
    centres = np.random.default_rng(99).normal(size=(3, 4))
    return centres[labels] + spread * generator.normal(size=(size, 4)), np.array(
        [2, 11, 5]
    )[labels]


def brute_force(train, known, test, truth, inverse_regularization):
    """Softmax regression written out, minimised by BFGS on numerical gradients."""
    classes = np.unique(known)
    mean, deviation = train.mean(0), train.std(0)
    train, test = (train - mean) / deviation, (test - mean) / deviation
    rows, target = np.arange(len(train)), np.searchsorted(classes, known)

    def split(flat):
        table = flat.reshape(train.shape[1] + 1, len(classes))
        return table[:-1], table[-1]

    def objective(flat):
        weights, intercepts = split(flat)
        entropy = -log_softmax(train @ weights + intercepts, axis=1)[rows, target].sum()
        return inverse_regularization * entropy + (weights**2).sum() / 2

    weights, intercepts = split(
        minimize(objective, np.zeros((train.shape[1] + 1) * len(classes))).x
    )
    return float((classes[(test @ weights + intercepts).argmax(1)] == truth).mean())


@pytest.mark.parametrize("inverse_regularization", [0.01, 0.1, 1.0])
def test_agrees_with_softmax_regression_written_out(inverse_regularization):
    train, known = clusters(0, 60)
    test, truth = clusters(1, 301)
    got = linear_probe_accuracy(
        train, known, test, truth, inverse_regularization=inverse_regularization
    )
    assert got == pytest.approx(
        brute_force(train, known, test, truth, inverse_regularization), abs=1.01 / 301
    )
    assert 0.4 < got < 0.95


def test_standardised_with_training_statistics():
    # The boundary lies at 0 in training; a test set all above it is all class 1.
    train, known = np.array([[-1.0], [-2.0], [1.0], [2.0]]), [0, 0, 1, 1]
    assert (
        linear_probe_accuracy(train, known, [[0.5], [1.0], [3.0], [9.0]], [1, 1, 1, 1])
        == 1
    )


def test_units_of_features_do_not_count():
    train, known = clusters(2, 60)
    test, truth = clusters(3, 301)
    units, origin = np.array([1e-6, 1.0, 1e3, 1e8]), np.array([5.0, -1.0, 1e4, 0.0])
    moved = linear_probe_accuracy(
        train * units + origin, known, test * units + origin, truth
    )
    assert moved == pytest.approx(
        linear_probe_accuracy(train, known, test, truth), abs=1.01 / 301
    )


def test_constant_features_change_nothing():
    train, known = clusters(4, 60)
    test, truth = clusters(5, 301)
    plain = linear_probe_accuracy(train, known, test, truth)
    # 0.1 has a deviation of some 1e-17 by rounding, and the test set differs from it.
    train = np.hstack([train, np.full((60, 2), 0.1)])
    test = np.hstack(
        [
            test,
            np.full((301, 1), 0.1),
            np.random.default_rng(0).normal(size=(301, 1)) * 1e3,
        ]
    )
    assert linear_probe_accuracy(train, known, test, truth) == plain


def test_only_constant_features_name_the_commonest_class():
    assert (
        linear_probe_accuracy(
            np.ones((3, 2)), [4, 4, 8], np.zeros((4, 2)), [4, 4, 4, 8]
        )
        == 0.75
    )


@pytest.mark.parametrize("inverse_regularization", [1e-6, 1.0, 1e6])
def test_no_warning(inverse_regularization):
    train, known = clusters(6, 30, spread=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (
            linear_probe_accuracy(
                train,
                known,
                train,
                known,
                inverse_regularization=inverse_regularization,
            )
            > 0.3
        )


def correlated(seed, size, dim, classes):
    """Features that lie nearly in a few directions, as pixels do, with classes along the faint ones too."""
    generator = np.random.default_rng(seed)
    labels = np.arange(size) % classes
    shared = np.random.default_rng(98)
    mixing, centres = (
        shared.normal(size=(dim, dim)) * np.geomspace(1, 1e-3, dim)[:, None],
        shared.normal(size=(9, dim)),
    )
    return (generator.normal(size=(size, dim)) * 1.5 + centres[labels]) @ mixing, labels


@pytest.mark.parametrize(
    ("size", "dim", "classes"),
    [(400, 30, 5), (400, 30, 2), (40, 90, 4), (40, 90, 2), (31, 30, 3), (30, 30, 3)],
)
def test_agrees_with_scikit_learn_item_by_item(size, dim, classes):
    train, known = correlated(0, size, dim, classes)
    test, truth = correlated(1, 2000, dim, classes)
    mean, deviation = train.mean(0), train.std(0)
    other = LogisticRegression(C=1.0, tol=1e-8, max_iter=20_000).fit(
        (train - mean) / deviation, known
    )
    hits = linear_probe_predict(train, known, test, truth) == truth
    assert (hits != (other.predict((test - mean) / deviation) == truth)).sum() <= 2
    assert hits.mean() == linear_probe_accuracy(train, known, test, truth)
    assert 1.2 / classes < hits.mean() < 1


def test_the_minimum_of_correlated_features_is_tens_of_iterations_away():
    train, known = correlated(2, 600, 80, 9)
    told = []
    linear_probe_predict(
        train, known, train, known, progress=lambda *at: told.append(at)
    )
    iterations, losses = zip(*told, strict=True)
    assert iterations == tuple(range(len(told)))
    assert losses[0] == pytest.approx(np.log(9), rel=1e-12)
    assert list(losses) == sorted(losses, reverse=True)
    assert losses[-6] - losses[-1] < 1e-6 * losses[-1]
    assert len(told) < 150


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 5])
def test_parts_give_the_minimum_of_the_whole(monkeypatch, classes, dtype):
    train, known = correlated(5, 400, 30, classes)
    test, truth = correlated(6, 2000, 30, classes)
    arrays = train.astype(dtype), known, test.astype(dtype), truth
    few = arrays[0][:20], known[:20], *arrays[2:]  # fewer samples than features
    of_few = linear_probe_predict(*few)
    losses: list[list[float]] = [[], []]
    options = {"progress": lambda at, loss: losses[0].append(loss)}
    whole = linear_probe_predict(*arrays, **options)
    monkeypatch.setattr(_rows, "_KEPT", 0)
    monkeypatch.setattr(_rows, "_PART", 30 * 7)
    options = {"progress": lambda at, loss: losses[1].append(loss)}
    assert (linear_probe_predict(*arrays, **options) != whole).sum() <= 2
    assert losses[1][-1] == pytest.approx(losses[0][-1], rel=1e-9)
    assert (linear_probe_predict(*few) != of_few).sum() <= 2


def test_memory_is_neither_that_of_float64_features_nor_of_logits(monkeypatch):
    generator = np.random.default_rng(0)
    train = generator.normal(size=(20_000, 64)).astype(np.float32)
    known = np.arange(20_000) % 200
    monkeypatch.setattr(_rows, "_KEPT", 1 << 18)
    monkeypatch.setattr(_rows, "_PART", 1 << 15)
    monkeypatch.setattr(linear_probe, "_MAX_ITERATIONS", 2)
    _, extra = traced(linear_probe_predict, train, known, train, known)
    assert extra < 2 * train.nbytes


@pytest.mark.parametrize("dtype", [np.float16, np.uint8, np.int32, np.longdouble])
def test_every_type_of_numbers_is_standardised_in_float64(dtype):
    generator = np.random.default_rng(1)
    train = generator.integers(0, 200, size=(90, 5)).astype(dtype)
    known = (train[:, 0] > train[:, 1]).astype(int)
    np.testing.assert_array_equal(
        linear_probe_predict(train, known, train, known),
        linear_probe_predict(train.astype(float), known, train.astype(float), known),
    )


def test_ctrl_c_ends_a_fit():
    def interrupt(iteration, loss):
        if iteration == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        linear_probe_predict(
            *correlated(3, 400, 30, 5), *correlated(4, 40, 30, 5), progress=interrupt
        )


GOOD = {
    "train_features": np.eye(3),
    "train_labels": [0, 1, 2],
    "test_features": np.eye(3)[:2],
    "test_labels": [0, 1],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_features": np.ones((3, 3, 1))}, "train_features must have 2 axes"),
        (
            {"train_features": np.full((3, 3), np.inf)},
            "train_features must be finite, got 9 NaN or infinite",
        ),
        ({"test_features": np.ones((2, 1))}, "test_features must have as many columns"),
        ({"test_labels": [0]}, "test_labels must be as long as its features"),
        ({"train_labels": ["a", "b", "c"]}, "train_labels must be integers"),
        (
            {"train_labels": [7, 7, 7]},
            "train_labels must hold at least 2 classes, got only 7",
        ),
        (
            {"inverse_regularization": 0.0},
            "inverse_regularization must be positive and finite, got 0.0",
        ),
        ({"inverse_regularization": -1.0}, "inverse_regularization must be positive"),
    ],
)
def test_bad_input_is_one_line(change, message):
    with pytest.raises(ValueError, match=message) as caught:
        linear_probe_accuracy(**(GOOD | change))
    assert "\n" not in str(caught.value)
