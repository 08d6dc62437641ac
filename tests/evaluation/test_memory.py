"""Large arrays are announced, and those that do not fit are refused."""

import pytest

from r2mae.errors import InputError
from r2mae.evaluation.memory import check_memory

REMEDY = "Use fewer samples."


def test_only_large_arrays_are_announced(capsys):
    check_memory("features of 10 samples", 9e8, REMEDY)
    assert capsys.readouterr().err == ""
    check_memory("features of 20 samples", 1.1e9, REMEDY)
    assert "features of 20 samples need about 1.10GB" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("divisor", "part"), [(1, "into memory"), (2, "into 1/2 of the memory")]
)
def test_arrays_that_do_not_fit_are_refused(divisor, part):
    with pytest.raises(InputError) as caught:
        check_memory("features of 10 samples", 1e18, REMEDY, divisor)
    text = str(caught.value)
    assert text.startswith(f"features of 10 samples must fit {part}")
    assert text.endswith(f"got 1.00EB. {REMEDY}")
