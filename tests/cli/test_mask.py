"""Ranges of steps and positions, as options name them."""

import pytest

from r2mae.cli.mask import parse_range
from r2mae.errors import InputError


def test_a_range_excludes_its_end():
    assert list(parse_range("--steps", "2:5")) == [2, 3, 4]


@pytest.mark.parametrize(
    "text", ["5", "5:", ":5", "5:5", "6:5", "-1:5", "a:b", "1:2:3"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(InputError, match="--steps must be A:B with 0 <= A < B, got"):
        parse_range("--steps", text)
