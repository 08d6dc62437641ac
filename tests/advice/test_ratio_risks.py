"""Predicted errors over the mask ratio, against regressions solved on drawn data."""

import numpy as np
import pytest

from r2mae.advice.ratio_risks import predict_over_ratios
from r2mae.errors import InputError
from r2mae.law import FixedRatio, LinearSchedule, MaskLaw, UniformRatio
from r2mae.theory import build_covariance

RATIOS = [0.1, 0.4, 0.7]
NUM_TOKENS, NUM_ROWS = 8, 4000  # 8 tokens: each is a target


def draw_tokens(seed=0):
    covariance = build_covariance("ar1:0.7", NUM_TOKENS)
    draw = np.random.default_rng(seed)
    return covariance, draw.multivariate_normal(
        np.zeros(NUM_TOKENS), covariance, NUM_ROWS
    )


def masked_errors(law):
    """(R,) of maps fitted to drawn rows, with masks averaged over exactly."""
    covariance, rows = draw_tokens()
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    second_moment = rows.T @ rows / NUM_ROWS
    ratios, weights = law.quadrature(200)
    visible = 1 - ratios
    errors = np.zeros(len(RATIOS))
    for target in range(NUM_TOKENS):
        others = np.delete(np.arange(NUM_TOKENS), target)
        own = second_moment[np.ix_(others, others)]
        matrix = (weights @ visible**2) * own
        matrix += (weights @ (visible * ratios)) * np.diag(np.diag(own))
        b = np.linalg.solve(matrix, (weights @ visible) * second_moment[others, target])
        true, cross = covariance[np.ix_(others, others)], covariance[others, target]
        for number, ratio in enumerate(RATIOS):
            a = 1 - ratio
            form = a**2 * true + a * ratio * np.eye(len(others))
            errors[number] += 1 - 2 * a * (b @ cross) + b @ form @ b
    return errors / NUM_TOKENS


def predict(law, ratios=RATIOS):
    _, rows = draw_tokens()
    return predict_over_ratios(rows, law, ratios, num_rows=NUM_ROWS)


def test_one_map_is_the_error_of_fitted_maps():
    # Every masked token of a step weighs alike, whatever the ratio of the step.
    law = UniformRatio(0.2, 0.8)
    predicted = predict(MaskLaw(law, scope="step"))
    np.testing.assert_allclose(predicted.one_map, masked_errors(law), rtol=0.02)
    assert (predicted.num_rows, predicted.num_features) == (NUM_ROWS, NUM_TOKENS)


def test_own_maps_are_those_of_fixed_ratios_and_better_than_one():
    predicted = predict(MaskLaw(UniformRatio(0.2, 0.8), scope="step"))
    for ratio, own in zip(RATIOS, predicted.own_maps, strict=True):
        fixed = predict(MaskLaw(FixedRatio(ratio), scope="step"), [ratio])
        assert own == pytest.approx(fixed.one_map[0], rel=1e-9)
    assert (np.array(predicted.own_maps) <= np.array(predicted.one_map) + 1e-6).all()
    assert predicted.own_maps == sorted(predicted.own_maps)


def test_a_schedule_is_refused():
    law = MaskLaw(
        FixedRatio(0.5), scope="step", schedule=LinearSchedule(FixedRatio(0.9))
    )
    with pytest.raises(InputError, match=r"mask\.schedule must be null"):
        predict(law)
