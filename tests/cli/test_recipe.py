"""`r2mae recipe`: every shipped recipe with its first line, and one recipe as it is."""

import json

import yaml

from r2mae.cli.main import main
from r2mae.recipe.shipped import shipped_recipes, shipped_studies
from tests.conftest import DEMO


def test_list_has_each_recipe_and_study_with_its_first_comment(capsys):
    assert main(["recipe", "list"]) == 0
    recipes, studies, legend = capsys.readouterr().out.split("\n\n")
    lines = recipes.splitlines()
    assert lines.pop(0).split() == ["RECIPE", "DATA"]
    assert [line.split()[0] for line in lines] == list(shipped_recipes())
    named = [line.split()[0] for line in studies.splitlines()]
    assert named == ["STUDY", *shipped_studies()]
    assert "digits" in named
    assert "r2mae study NAME" in legend
    first = DEMO.read_text().splitlines()[0].removeprefix("# ")
    (demo,) = [line for line in lines if line.startswith("vision/digits_demo ")]
    assert demo.endswith(first)
    starts = {line.index("  ") for line in lines if "  " in line}
    assert len(starts) > 1  # names differ in length, and texts begin in one column
    column = demo.index(first)
    assert all(line[column - 1] == " " for line in lines if len(line) > column)


def test_list_as_json(capsys):
    assert main(["recipe", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert list(listed["recipes"]) == list(shipped_recipes())
    assert list(listed["studies"]) == list(shipped_studies())
    assert listed["recipes"]["vision/digits_demo"]["data"] == "bundled"
    assert listed["recipes"]["vision/imagenet_vit_b16"]["data"] == "hub"
    assert listed["recipes"]["cell/pbmc3k_mlp"]["data"] == "own"
    assert listed["studies"]["pbmc68k"]["data"] == "bundled"
    assert listed["studies"]["worm_neuron"]["data"] == "own"


def test_show_prints_the_file_by_name_and_by_path(capsys):
    for name in ("digits_demo", "vision/digits_demo", str(DEMO)):
        assert main(["recipe", "show", name]) == 0
        assert capsys.readouterr().out == DEMO.read_text()
    assert main(["recipe", "show", "digits_demo", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert yaml.safe_load(shown["text"])["modality"] == "vision"


def test_show_finds_studies_where_no_recipe_has_the_name(capsys):
    for name in ("digits", "studies/digits"):
        assert main(["recipe", "show", name]) == 0
        assert capsys.readouterr().out == shipped_studies()["digits"].read_text()


def test_keys_of_a_modality_and_those_that_all_share(capsys):
    assert main(["recipe", "keys", "vision", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    names = {task: {key["name"] for key in keys} for task, keys in listed.items()}
    assert "data.augment.mixup" in names["finetune"] - names["pretrain"]
    assert "mask.ratio" in names["pretrain"] - names["finetune"]
    assert main(["recipe", "keys"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("hardware.workers ") == 1
    assert "tune.lora.rank" in printed
    assert "data.image_size" not in printed
    assert main(["recipe", "keys", "visoin"]) == 2
    assert "modality must be one of vision" in capsys.readouterr().err


def test_an_unknown_name_is_one_line_with_the_nearest(capsys):
    assert main(["recipe", "show", "digit_demo"]) == 2
    printed = capsys.readouterr().err.strip()
    assert len(printed.splitlines()) == 1
    assert "digits_demo" in printed
