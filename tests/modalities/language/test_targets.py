"""Texts with several labels, or with ordered classes: finetune, predict, evaluate, export."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from r2mae.cli.main import main
from r2mae.data.tokenizer import load_tokenizer
from tests.conftest import make_texts
from tests.modalities.cell.test_cli import refused, said
from tests.modalities.language.test_cli import RECIPE, SHAPE, SMALL, TUNE, settings

SEVERAL = "tune={target: multi_label}"
ORDERED = "tune={target: {ordinal: {order: [cat, dog, bird]}}}"
KINDS = ("cat", "dog", "bird")


def tuned(label, *more):
    data = f"{{root: '.', card: text_files, label_column: {label}, length: 32, held_out: 0.2}}"
    return settings(
        (
            f"data={data}",
            f"model={{init_from: runs/run, encoder: modernbert, {SHAPE}}}",
            "batch={global_samples: 8}",
            "optimizer={lr: 5.0e-3}",
            "schedule={steps: 120}",
            "repeat={seeds: 1}",
        ),
        *more,
    )


def write_tables():
    """Texts of kind n % 3 with the labels "kind" and, for two of them, "pet"; also as 0 and 1."""
    for split, numbers in (("train", range(150)), ("test", range(150, 210))):
        texts = make_texts(210)
        sets = ("cat;pet", "dog | pet", ";")
        rows = [
            (texts[n], KINDS[n % 3], sets[n % 3], *(int(n % 3 == k) for k in (0, 1)))
            for n in numbers
        ]
        columns = ["sentence", "kind", "labels", "is_cat", "is_dog"]
        pd.DataFrame(rows, columns=columns).to_csv(
            f"{split}.tsv", sep="\t", index=False
        )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("targets")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        (folder / "train.txt").write_text("\n".join(make_texts(300)))
        write_tables()
        assert main(["pretrain", str(RECIPE), "--name", "run", *settings(SMALL)]) == 0
    return folder


def test_several_labels_are_learnt_predicted_and_exported(here, capsys, tmp_path):
    words = ("finetune", TUNE, "--name", "several", *tuned("labels", SEVERAL))
    assert "average precision" in said(capsys, *words)
    result = json.loads(said(capsys, *words, "--json"))
    assert result["classes"] == ["cat", "dog", "pet"]
    (row,) = result["scores"]
    assert row["micro_f1"] > 0.9
    assert row["average_precision"] > 0.9
    run = "runs/several/labels_all/seed_0"
    said(capsys, "predict", run, "test", "-o", tmp_path / "said.csv")
    table = pd.read_csv(tmp_path / "said.csv")
    assert [*table] == [
        "name",
        "class",
        "predicted_labels",
        "p(cat)",
        "p(dog)",
        "p(pet)",
    ]
    probabilities, truth = np.load(f"{run}/test_predictions.npy")
    given = table[["p(cat)", "p(dog)", "p(pet)"]].to_numpy()
    np.testing.assert_allclose(given, probabilities, rtol=1e-5)
    assert truth[:3].tolist() == [[1, 0, 1], [0, 1, 1], [0, 0, 0]]
    assert table["predicted_labels"][2] == ";" or probabilities[2].max() > 0.5
    error = refused(capsys, "evaluate", run, "--task", "knn")
    assert "tune.target multi_label" in error
    said(capsys, "export", run, tmp_path / "out", "--to", "transformers")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert model.config.problem_type == "multi_label_classification"
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        given = tokenizer(
            make_texts(210)[150], return_tensors="pt", truncation=True, max_length=32
        )
        exported = model(**given).logits.sigmoid()[0].numpy()
    np.testing.assert_allclose(exported, probabilities[0], atol=1e-4)


def test_columns_of_0_and_1_and_differences(here, capsys):
    columns = tuned("[is_cat, is_dog]", SEVERAL, "schedule={steps: 5}")
    words = ("finetune", TUNE, "--name", "columns", *columns)
    result = json.loads(said(capsys, *words, "--json"))
    assert result["classes"] == ["is_cat", "is_dog"]
    against = json.loads(said(capsys, *words, "--against", "runs/columns", "--json"))
    assert against["scores"][0]["against"]["difference"] == 0
    _, truth = np.load("runs/columns/labels_all/seed_0/test_predictions.npy")
    assert truth[:3].tolist() == [[1, 0], [0, 1], [0, 0]]


def test_ordered_classes_are_learnt_and_predicted(here, capsys, tmp_path):
    words = ("finetune", TUNE, "--name", "ordered", *tuned("kind", ORDERED))
    assert "quadratic kappa" in said(capsys, *words)
    result = json.loads(said(capsys, *words, "--json"))
    assert result["classes"] == ["cat", "dog", "bird"]
    (row,) = result["scores"]
    assert row["accuracy"] > 0.8
    assert row["quadratic_kappa"] > 0.8
    assert row["absolute_error"] < 0.3
    run = "runs/ordered/labels_all/seed_0"
    said(capsys, "predict", run, "test", "-o", tmp_path / "said.csv")
    table = pd.read_csv(tmp_path / "said.csv")
    given = table[["p(cat)", "p(dog)", "p(bird)"]].to_numpy()
    np.testing.assert_allclose(given.sum(axis=1), 1, rtol=1e-5)
    predicted, expected = np.load(f"{run}/test_predictions.npy")
    assert given.argmax(axis=1).tolist() == predicted.tolist()
    assert expected[:3].tolist() == [0, 1, 2]
    error = refused(capsys, "export", run, tmp_path / "x", "--to", "transformers")
    assert "tune.target must not be ordinal" in error
    said(capsys, "evaluate", run, "--task", "knn")


@pytest.mark.parametrize(
    ("label", "more", "words"),
    [
        ("kind", ["tune={target: ordinal}"], "the classes from the lowest"),
        ("kind", ["tune.target={ordinal: {order: [cat, dog]}}"], "check bird"),
        ("[is_cat, is_dog]", [], "Set tune.target: multi_label"),
        ("[is_cat, kind]", [SEVERAL], "row 0 of kind must be 0 or 1"),
        ("labels", [SEVERAL, "repeat={labels_per_class: [5]}"], "must be [all]"),
        ("[is_cat, is_cat]", [SEVERAL], "must name each column once"),
        ("[a, 'b;c']", [SEVERAL], "without ; and |, which separate labels, got 'b;c'"),
    ],
)
def test_bad_labels_are_one_line(here, capsys, label, more, words):
    assert words in refused(capsys, "finetune", TUNE, *tuned(label, *more))


QUICK = "schedule={steps: 2}"


@pytest.fixture
def copied(here, tmp_path, monkeypatch):
    """A folder of its own with the tables and the pretrained run."""
    for name in ("train.tsv", "test.tsv", "runs"):
        (tmp_path / name).symlink_to(here / name)
    load_tokenizer.cache_clear()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def replace_table(folder, split, rows):
    table = (folder / f"{split}.tsv").read_text().splitlines()
    (folder / f"{split}.tsv").unlink()
    (folder / f"{split}.tsv").write_text("\n".join([table[0], *rows(table[1:])]) + "\n")


@pytest.mark.parametrize("split", ["train", "test"])
def test_scores_are_not_mixed_with_those_of_other_data(copied, capsys, split):
    words = ("finetune", TUNE, "--name", f"changed_{split}", *tuned("kind", QUICK))
    earlier = said(capsys, *words, "--json")
    assert said(capsys, *words, "--json") == earlier
    replace_table(copied, split, lambda rows: rows[:-1])
    for seeds in ((), ("--seeds", "2")):
        error = refused(capsys, *words, *seeds)
        assert (
            f"the {split} split must be that of runs/changed_{split}/labels_all"
            in error
        )
    assert not (copied / "runs" / f"changed_{split}" / "labels_all" / "seed_1").exists()
    assert said(capsys, *words, "--fresh", "--json")


def test_a_table_of_another_target_is_refused_before_training(here, capsys):
    said(capsys, "finetune", TUNE, "--name", "classes", *tuned("kind", QUICK))
    words = ("finetune", TUNE, "--name", "other", *tuned("labels", SEVERAL, QUICK))
    error = refused(capsys, *words, "--against", "runs/classes")
    assert (
        "--against must predict what the recipe does, multi_label, got classes" in error
    )
    assert not (here / "runs" / "other").exists()


def test_a_test_split_without_labels_is_refused(copied, capsys):
    replace_table(
        copied,
        "test",
        lambda rows: [row for row in rows if ";\t" in row and "cat;" not in row],
    )
    error = refused(capsys, "finetune", TUNE, "--name", "x", *tuned("labels", SEVERAL))
    assert "the test split must hold labels, by which it is scored, got none" in error
