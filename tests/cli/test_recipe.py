"""`r2mae recipe`: every shipped recipe with its first line, and one recipe as it is."""

import json

import yaml

from r2mae.cli.main import main
from r2mae.recipe.shipped import shipped_recipes
from tests.conftest import DEMO


def test_list_has_each_recipe_with_its_first_comment(capsys):
    assert main(["recipe", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(shipped_recipes())
    first = DEMO.read_text().splitlines()[0].removeprefix("# ")
    (demo,) = [line for line in lines if line.startswith("vision/digits_demo ")]
    assert demo.endswith(first)
    starts = {line.index("  ") for line in lines if "  " in line}
    assert len(starts) > 1  # names differ in length, and texts begin in one column
    column = demo.index(first)
    assert all(line[column - 1] == " " for line in lines if len(line) > column)


def test_list_as_json(capsys):
    assert main(["recipe", "list", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == list(shipped_recipes())


def test_show_prints_the_file_by_name_and_by_path(capsys):
    for name in ("digits_demo", "vision/digits_demo", str(DEMO)):
        assert main(["recipe", "show", name]) == 0
        assert capsys.readouterr().out == DEMO.read_text()
    assert main(["recipe", "show", "digits_demo", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert yaml.safe_load(shown["text"])["modality"] == "vision"


def test_an_unknown_name_is_one_line_with_the_nearest(capsys):
    assert main(["recipe", "show", "digit_demo"]) == 2
    printed = capsys.readouterr().err.strip()
    assert len(printed.splitlines()) == 1
    assert "digits_demo" in printed
