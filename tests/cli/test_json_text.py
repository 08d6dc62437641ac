"""JSON of numbers that may not be finite."""

import json
from dataclasses import dataclass

from r2mae.cli.json_text import json_text


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
