"""A few bad rows are left out; more than half are the fault of the file."""

import pytest

from r2mae.data.bad_rows import BadRows
from r2mae.errors import InputError


def skipped(count, **options):
    bad_rows = BadRows(skip=True, **options)
    for number in range(count):
        bad_rows.reject(number, f"row {number} must be text.")
    return bad_rows


def test_half_of_the_rows_may_be_left_out():
    bad_rows = skipped(5)
    bad_rows.check_few(10, "a.csv")
    assert bad_rows.note.startswith("5 bad rows: row 0 must be text.")
    BadRows(skip=True).check_few(0, "a.csv")


@pytest.mark.parametrize("options", [{}, {"remedy": "Leave it out: --skip."}])
def test_more_than_half_are_refused_with_the_first_of_them(options):
    with pytest.raises(InputError) as error:
        skipped(2, **options).check_few(3, "a.csv")
    assert str(error.value) == (
        "a.csv must be right in at least half of 3 rows, got 2 bad rows: "
        "row 0 must be text. row 1 must be text. Mend them."
    )


def test_rows_of_several_readings_add_up():
    bad_rows = skipped(2)
    bad_rows.add(skipped(3))
    assert bad_rows.numbers == [0, 1, 0, 1, 2]
    assert bad_rows.note.startswith("5 bad rows: row 0")
    assert len(bad_rows.examples) == 3


def test_one_bad_row_is_an_error_unless_skipped():
    with pytest.raises(InputError, match=r"^row 0 must be text. Mend it.$"):
        BadRows(remedy="Mend it.").reject(0, "row 0 must be text.")
