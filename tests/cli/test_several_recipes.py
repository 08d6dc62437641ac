"""The table over several recipes: which scores, their intervals and their mean."""

from argparse import Namespace

import pytest

from r2mae.cli.several_recipes import _mean, _rows, finetune_several, print_several
from r2mae.errors import InputError
from r2mae.recipe.load import load_recipe
from tests.conftest import ROOT


def row(recipe, metric, value):
    return {"recipe": recipe, "labels_per_class": "all", "metric": metric} | {
        "value": value
    }


def test_the_mean_is_over_recipes_whatever_their_number_of_scores():
    rows = [row("a", "f1", 0.2), row("a", "accuracy", 0.4), row("b", "pearson", 0.9)]
    assert _mean(rows) == pytest.approx((0.3 + 0.9) / 2)
    assert _mean([*rows, row("b", "squared_error", 7.0)]) == _mean(rows)
    assert _mean([row("b", "squared_error", 7.0)]) is None


def test_recipes_whose_runs_may_share_a_folder_are_refused(tmp_path):
    text = (ROOT / "recipes" / "vision" / "digits_finetune.yaml").read_text()
    paths = []
    for name in ("one/digits.yaml", "two/Digits.yaml"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(text)
        paths.append(str(path))
    arguments = Namespace(set=[], seeds=None, labels_per_class=None)
    arguments.recipe, *arguments.more = paths
    with pytest.raises(InputError, match="must be given once, got Digits twice"):
        finetune_several(arguments, lambda _: {})


def test_scores_have_their_own_intervals(capsys):
    path = str(ROOT / "recipes" / "vision" / "digits_finetune.yaml")
    settings = [
        "model.init_from=null",
        "repeat={metrics: [matthews, accuracy, macro_f1]}",
    ]
    scores = {"accuracy": 0.5, "half_width": 0.1, "macro_f1": 0.4, "matthews": 0.3}
    scores |= {
        "matthews_half_width": 0.2,
        "seeds": [0.4, 0.6],
        "labels_per_class": "all",
    }
    earlier = scores | {"labels_per_class": 5}  # of another command: left out
    rows = _rows("digits", load_recipe(path, settings), {"scores": [earlier, scores]})
    found = [(row["metric"], row["value"], row["half_width"]) for row in rows]
    assert found == [
        ("matthews", 0.3, 0.2),
        ("accuracy", 0.5, 0.1),
        ("macro_f1", 0.4, None),
    ]
    print_several({"scores": rows, "mean": _mean(rows), "left_out": ["other"]})
    printed = capsys.readouterr().out
    assert "0.300 ± 0.200" in printed
    assert "mean    0.400" in printed
    assert "not on this machine: other" in printed
