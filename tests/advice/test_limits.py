import numpy as np
import pytest

from r2mae.advice.limits import Facts, find_warnings, reason_against

DIM = 100
ACCURATE = {
    "covariance": np.eye(DIM),
    "num_rows": 450,
    "gain": 0.1,
    "explained": 0.95,
    "is_scheduled": False,
}
DOMINANT = np.eye(DIM) + np.full((DIM, DIM), 0.1)


def test_no_warning_where_the_theory_is_accurate():
    assert find_warnings(Facts(**ACCURATE)) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"covariance": np.eye(49)}, "d = 49 is small"),
        ({"num_rows": 49}, "N = 49 is small"),
        ({"covariance": DOMINANT}, "one direction holds 11%"),
        ({"gain": 0.0}, "no better than independent"),
        ({"gain": 4e-4}, "no better than independent"),
        ({"gain": float("nan")}, "no better than independent"),
        ({"explained": 0.89}, "carry 89%"),
        ({"num_rows": 1000}, "the best ratio then goes to 0 as 1/N"),
        ({"is_scheduled": True}, "only its initial distribution"),
    ],
)
def test_one_warning_for_each_reason(change, text):
    (warning,) = find_warnings(Facts(**ACCURATE | change))
    assert text in warning


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0.02, "the least ratio tried"), (0.96, "the greatest ratio tried")],
)
def test_the_best_ratio_at_an_edge_of_the_grid_is_no_advice(ratio, text):
    assert text in reason_against(ratio, 1000, 100)


def test_a_ratio_inside_the_grid_is_advice():
    assert reason_against(0.04, 1000, 100) is None
