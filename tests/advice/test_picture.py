"""Curves of risk are written as PNG, and a path that cannot be one is refused first."""

import pytest

from r2mae.advice.picture import check_picture_path, draw_curves
from r2mae.errors import InputError


def test_curves_are_written_as_png(tmp_path):
    path = tmp_path / "risk.png"
    draw_curves([0.1, 0.5, 0.9], {"N = 100": [3.0, 1.0, 2.0]}, str(path), {"here": 0.5})
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("name", ["risk.pdf", "risk", "missing/risk.png"])
def test_other_paths_are_refused(name, tmp_path):
    path = str(tmp_path / name)
    for call in (check_picture_path, lambda path: draw_curves([], {}, path)):
        with pytest.raises(InputError, match=r"-o must be a \.png file"):
            call(path)
    assert not list(tmp_path.iterdir())
