"""Free disk space, compared with what is to be written."""

from types import SimpleNamespace

import pytest

from r2mae.data.space import check_space, size_text
from r2mae.errors import InputError


def test_what_does_not_fit_is_refused_with_both_sizes(tmp_path, monkeypatch):
    asked = []

    def usage(folder):
        asked.append(folder)
        return SimpleNamespace(free=2_000_000)

    monkeypatch.setattr("shutil.disk_usage", usage)
    place = tmp_path / "absent" / "store"
    check_space(place, 2_000_000, "Name another.")
    with pytest.raises(
        InputError, match="2.00MB of free disk space, got 2.00MB. Name another."
    ):
        check_space(place, 2_000_001, "Name another.")
    assert asked == [tmp_path, tmp_path]


def test_sizes_have_units():
    assert [size_text(size) for size in (20, 525e6, 59e9)] == [
        "20.0B",
        "525MB",
        "59.0GB",
    ]
