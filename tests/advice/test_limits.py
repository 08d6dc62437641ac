import numpy as np
import pytest

from r2mae.advice.limits import Facts, find_warnings

DIM = 100
ACCURATE = {
    "covariance": np.eye(DIM),
    "num_rows": 1000,
    "gain": 0.1,
    "explained": 0.95,
    "best_fixed": 0.5,
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
        ({"explained": 0.89}, "carry 89%"),
        ({"best_fixed": 0.02}, "least ratio tried"),
        ({"is_scheduled": True}, "only its initial distribution"),
    ],
)
def test_one_warning_for_each_reason(change, text):
    (warning,) = find_warnings(Facts(**ACCURATE | change))
    assert text in warning
