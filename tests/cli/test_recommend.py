"""`r2mae theory recommend`: advice on a recipe's data, and the recipe that follows it."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from r2mae.cli import recommend
from r2mae.cli.main import main
from r2mae.errors import InputError
from r2mae.law import FixedRatio
from r2mae.recipe.load import load_recipe
from tests.conftest import DEMO, ROOT

ANSWER = SimpleNamespace(
    no_advice=None,
    best_fixed=0.3,
    least_expected=SimpleNamespace(law=FixedRatio(0.96)),
    schedules=[SimpleNamespace(start=0.96, end=0.3, gain=0.1)],
)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["theory", "recommend", DEMO, "-o", "a.pdf"], "-o must be a .png file"),
        (
            ["theory", "recommend", DEMO, "-o", "absent/a.png"],
            "in a folder that exists, got absent/a.png",
        ),
        (["theory", "recommend", "absent.yaml"], "absent.yaml"),
    ],
)
def test_bad_input_is_one_line(words, complaint, capsys):
    assert main(list(map(str, words))) == 2
    said = capsys.readouterr().err
    assert said.startswith("r2mae: ")
    assert complaint in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("recipe", "choice"), [("mine.yaml", "fixed"), ("digits_demo", "least_regret")]
)
def test_recommend_reads_a_recipe_and_writes_one(scratch, capsys, recipe, choice):
    Path("mine.yaml").write_text(DEMO.read_text())
    line = ["theory", "recommend", recipe, "--bootstrap", "1", "--json"]
    line += ["--write", choice]
    assert main([*line, "-o", "a.png"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[0])
    assert found["num_rows"] == 1293
    assert Path("a.png").is_file()
    written = load_recipe(f"{Path(recipe).stem}_{choice}.yaml")
    assert written.mask.ratio.mean_ratio < 0.5
    assert main(line) == 2
    assert "must not exist yet" in capsys.readouterr().err


def test_without_advice_nothing_is_written(scratch, capsys, monkeypatch):
    Path("mine.yaml").write_text(DEMO.read_text())
    rows = np.random.default_rng(0).standard_normal((60, 16, 2))
    tokens = rows + rows.mean(axis=1, keepdims=True) * 8
    monkeypatch.setattr(
        "r2mae.recipe.assembly.read_tokens", lambda recipe: (tokens, 10**7)
    )
    line = ["theory", "recommend", "mine.yaml", "--bootstrap", "1"]
    assert main([*line, "--write", "fixed"]) == 2
    captured = capsys.readouterr()
    assert captured.out.startswith("no advice for this data, because ")
    assert "--write fixed must follow from advice" in captured.err
    assert list(Path().glob("*.yaml")) == [Path("mine.yaml")]


@pytest.mark.parametrize("choice", ["least_regret", "schedule"])
def test_a_choice_at_an_edge_of_the_grid_is_not_written(choice):
    with pytest.raises(InputError, match="must be inside the ratios tried, got .*0.96"):
        recommend._choose(ANSWER, choice)


def test_a_choice_inside_the_grid_is_written():
    assert recommend._choose(ANSWER, "fixed") == (FixedRatio(0.3), None)


def test_recommend_reads_categories(scratch, capsys):
    line = ["theory", "recommend", "motifs_demo", "--bootstrap", "1", "--json"]
    assert main([*line, "--set", "data.length=32"]) == 0
    advice = json.loads(capsys.readouterr().out)
    assert advice["num_tokens"] == 32
    assert advice["num_features"] == 3 * 32


def test_the_caution_holds_in_the_published_studies():
    page = (ROOT / "docs" / "results.md").read_text()
    table = page.partition("<!-- theory: ")[2].partition("<!-- end -->")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if "](" in line]
    assert len(rows) > 10
    taus = [float(row[2].split()[0]) for row in rows]
    followed, random = (
        [float(row[column].strip().removesuffix("%")) for row in rows]
        for column in (4, 5)
    )
    assert np.mean(taus) <= 0  # Kendall's tau is 0 by chance
    assert np.mean(followed) >= np.mean(random)


def test_the_caution_is_in_the_help_and_in_the_last_line(capsys, monkeypatch):
    with pytest.raises(SystemExit):
        main(["theory", "recommend", "--help"])
    assert recommend.CAUTION in " ".join(capsys.readouterr().out.split())
    monkeypatch.setattr("r2mae.advice.recommend", lambda *_, **__: None)
    monkeypatch.setattr(recommend, "_print", print)
    assert main(["theory", "recommend", str(DEMO)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == recommend.CAUTION
