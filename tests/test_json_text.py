"""JSON of numbers that may not be finite."""

import json
import re
from dataclasses import dataclass

from r2mae.json_text import json_text
from tests.conftest import ROOT


@dataclass
class Score:
    mean: float
    seeds: tuple[float, ...]


def test_what_is_not_finite_is_null_at_any_depth():
    score = Score(float("nan"), (1.5, float("-inf")))
    text = json_text({"scores": [score], "count": 3, "name": "nan", "done": True})
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text) == {
        "scores": [{"mean": None, "seeds": [1.5, None]}],
        "count": 3,
        "name": "nan",
        "done": True,
    }


def test_whatever_is_printed_as_json_goes_through_it():
    printed = re.compile(r"print\(\s*json\.dumps")
    files = sorted((ROOT / "r2mae").rglob("*.py"))
    assert not [str(file) for file in files if printed.search(file.read_text())]
