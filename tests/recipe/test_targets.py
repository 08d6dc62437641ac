"""Numbers that a regression cannot be trained on, or scored by."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from r2mae.errors import InputError
from r2mae.recipe.targets import TASKS


def numbers(*values):
    source: Any = SimpleNamespace(targets=np.array(values, dtype=np.float32))
    return source


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((3, 3), "must hold numbers that differ, got 3 for all"),
        ((3,), "must hold numbers that differ, got 3 for all"),
    ],
)
def test_numbers_without_a_standard_deviation_are_refused(values, message):
    task = TASKS["regression"]
    with pytest.raises(InputError, match=f"the test split {message}"):
        task.check_test(numbers(1, 2), numbers(*values))
    with pytest.raises(InputError, match=f"data {message}"):
        task.build(None, numbers(*values), None, [])


def test_numbers_are_standardized_by_the_training_split():
    _, facts = TASKS["regression"].build(
        SimpleNamespace(seed=0), numbers(1, 3), None, ["value"]
    )
    assert facts == {"target": {"mean": 2.0, "spread": 1.0}}
    TASKS["regression"].check_test(numbers(1, 3), numbers(5, 6))
    _, facts = TASKS["regression"].build(  # whose squares 32 bits do not hold
        SimpleNamespace(seed=0), numbers(1e30, 3e30), None, ["value"]
    )
    assert facts["target"]["spread"] == pytest.approx(1e30)
