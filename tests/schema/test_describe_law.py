"""Laws in words."""

import pytest

from r2mae.schema.describe_law import describe_law

UNIFORM = {"uniform": {"low": 0.1, "high": 0.9}}
FIXED = {"fixed": {"ratio": 0.5}}


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        ({"ratio": UNIFORM}, "uniform (low 0.1, high 0.9), one ratio per step"),
        (
            {"ratio": UNIFORM, "scope": "stratified", "weight": "inverse_ratio"},
            "uniform (low 0.1, high 0.9), stratified, weight 1/ratio",
        ),
        (
            {"ratio": UNIFORM, "scope": "sample", "weight": "sample"},
            "uniform (low 0.1, high 0.9), one ratio per sample, weight sample",
        ),
        (
            {"ratio": FIXED, "scope": "stratified", "weight": "inverse_ratio"},
            "fixed (ratio 0.5)",
        ),
        ({"ratio": FIXED, "weight": "sample"}, "fixed (ratio 0.5), weight sample"),
        (
            {"ratio": FIXED, "schedule": {"linear": {"to": {"fixed": {"ratio": 0.1}}}}},
            "fixed (ratio 0.5), one ratio per step, schedule linear (to fixed (ratio 0.1))",
        ),
        (
            {"ratio": {"uniform": {"low": 0.1 + 0.2, "high": 0.5}}},
            "uniform (low 0.3, high 0.5), one ratio per step",
        ),
        ({"ratio": 0.5}, "0.5, one ratio per step"),  # of a damaged recipe
    ],
)
def test_laws_are_told_with_what_matters(mask, text):
    assert describe_law(mask) == text


def test_the_number_of_levels_is_told_where_given():
    text = "uniform (low 0.1, high 0.9), 8 levels, one ratio per step"
    assert describe_law({"ratio": UNIFORM}, 8) == text
