"""A table of fine-tuning runs keeps to folders of its own, and rows of earlier calls."""

import json

import numpy as np
import pytest

from r2mae.cli.finetuning_table import (
    check_against,
    check_folder,
    earlier_rows,
    every_run,
    read_predictions,
    single_run,
)
from r2mae.errors import InputError
from r2mae.recipe.load import load_recipe
from r2mae.training.run_folder import RunFolder
from tests.conftest import ROOT

RECIPE = str(ROOT / "recipes" / "cell" / "pbmc3k_finetune.yaml")


def recipe(*counts):
    labels = ", ".join(map(str, counts))
    repeat = f"repeat={{seeds: 3, labels_per_class: [{labels}]}}"
    return load_recipe(RECIPE, [repeat], task="finetune")


def test_each_run_has_a_seed_and_a_folder_of_its_own(tmp_path):
    whole = recipe(5, "all")
    single, folder = single_run(whole, tmp_path, "all", 2)
    assert folder == tmp_path / "labels_all" / f"seed_{whole.seed + 2}"
    assert single.seed == whole.seed + 2
    assert (single.repeat.seeds, single.repeat.labels_per_class) == (1, ("all",))
    assert single.model == whole.model


def test_rows_of_other_numbers_of_labels_are_kept(tmp_path):
    assert earlier_rows(tmp_path, recipe(5)) == []
    scores = {"accuracy": 0.5, "half_width": 0.1, "seeds": {}}
    rows = [{"labels_per_class": count} | scores for count in (5, 10, "all")]
    (tmp_path / "scores.json").write_text(json.dumps({"scores": rows}))
    assert earlier_rows(tmp_path, recipe(5, "all")) == [rows[1]]
    old = {"labels_per_class": 10, "accuracy": 0.5}
    (tmp_path / "scores.json").write_text(json.dumps({"scores": [old]}))
    assert earlier_rows(tmp_path, recipe(5)) == []


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"scores": [{}]}', '{"scores": 3}'])
def test_damaged_scores_are_refused(tmp_path, text):
    (tmp_path / "scores.json").write_text(text)
    with pytest.raises(InputError, match=r"scores\.json must hold scores of runs"):
        earlier_rows(tmp_path, recipe(5))


def test_damaged_predictions_are_refused_before_anything_trains(tmp_path):
    for _, folder in every_run(recipe(5), tmp_path):
        folder.mkdir(parents=True)
        (folder / "test_predictions.npy").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"seed_0/test_predictions\.npy must hold"):
        check_against(recipe(5), str(tmp_path))
    for content in (b"", np.arange(3)):
        np.save(tmp_path / "a.npy", content)
        with pytest.raises(
            InputError, match="Delete it: a finished run predicts again"
        ):
            read_predictions(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.array([[1, 2], [1, 1]]))
    assert read_predictions(tmp_path / "a.npy")[1].tolist() == [1, 1]


def test_folders_of_other_files_are_refused(tmp_path):
    table = RunFolder(tmp_path / "runs" / "tuned")
    check_folder(table)  # absent
    table.path.mkdir(parents=True)
    check_folder(table)  # empty
    (table.path / "notes.txt").write_text("")
    with pytest.raises(InputError, match="or be absent, got other files"):
        check_folder(table)
    (table.path / "labels_5").mkdir()
    check_folder(table)
