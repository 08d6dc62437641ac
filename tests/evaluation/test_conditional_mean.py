"""Hidden features become their conditional mean under probabilistic PCA."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from r2mae.evaluation.conditional_mean import ConditionalMean, impute_hidden

HIDDEN = np.array([True, False, True, False, False, False])


def samples(num=300, features=6):
    draw = np.random.default_rng(0)
    mixing = draw.normal(size=(2, features))
    values = 3 + draw.normal(size=(num, 2)) @ mixing
    return (values + 0.1 * draw.normal(size=values.shape)).astype(np.float32)


def test_hidden_values_are_the_conditional_mean_of_the_fitted_normal_distribution():
    train, test = samples()[:290], samples()[290:]
    pca = PCA(5, svd_solver="randomized", random_state=0).fit(train)
    covariance, mean = pca.get_covariance(), pca.mean_
    visible = covariance[np.ix_(~HIDDEN, ~HIDDEN)]
    around = test[:, ~HIDDEN] - mean[~HIDDEN]
    slopes = covariance[np.ix_(HIDDEN, ~HIDDEN)] @ np.linalg.inv(visible)
    expected = mean[HIDDEN] + around @ slopes.T
    imputed = impute_hidden(train, np.where(HIDDEN, np.nan, test))
    np.testing.assert_allclose(imputed[:, HIDDEN], expected, rtol=1e-3)
    np.testing.assert_array_equal(imputed[:, ~HIDDEN], test[:, ~HIDDEN])
    error = np.abs(imputed - test).max()
    assert error < 0.2 * np.abs(train.mean(axis=0) - test).max()


def test_complete_samples_are_unchanged_and_hidden_ones_get_the_training_mean():
    train = samples()
    assert impute_hidden(train, train) is train
    imputed = impute_hidden(train, np.full((2, 6), np.nan, np.float32))
    np.testing.assert_allclose(imputed, [train.mean(axis=0)] * 2, rtol=1e-5)


@pytest.mark.filterwarnings(
    "ignore:invalid value"
)  # scikit-learn, where all is constant
@pytest.mark.parametrize(
    "train",
    [np.ones((4, 3)), np.arange(4.0)[:, None] * np.ones(3), np.array([[1.0], [3.0]])],
    ids=["constant", "one component", "one feature"],
)
def test_features_without_noise_are_imputed(train):
    test = np.array(train[:1])
    test[0, 0] = np.nan
    imputed = ConditionalMean(train).impute(test)
    alone = train.shape[1] == 1
    np.testing.assert_allclose(imputed[0, 0], 2 if alone else train[0, 0], atol=1e-3)
