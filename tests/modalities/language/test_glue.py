"""GLUE by one command: the layouts of its files, its metrics, and tasks that are not there."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from r2mae.cli.main import main
from r2mae.data.tokenizer import load_tokenizer
from r2mae.modalities.language.tokenizer import recipe_tokenizer
from r2mae.recipe.assembly import open_split
from r2mae.recipe.load import load_recipe
from tests.conftest import ROOT, make_texts
from tests.modalities.cell.test_cli import refused, said
from tests.modalities.language.test_cli import RECIPE, SHAPE, SMALL, settings

RECIPES = sorted((ROOT / "recipes" / "language").glob("glue_*.yaml"))
# Task -> folder, columns of its .tsv, those of texts, that of labels, and values of labels.
TASKS = {
    "sst2": ("SST-2", "sentence label", ["sentence"], "label", [0, 1]),
    "mrpc": (
        "MRPC",
        "Quality,#1 ID,#2 ID,#1 String,#2 String",
        ["#1 String", "#2 String"],
        "Quality",
        [0, 1],
    ),
    "stsb": (
        "STS-B",
        "index genre filename year old_index source1 source2 sentence1 sentence2 score",
        ["sentence1", "sentence2"],
        "score",
        ["0.500", "2.000", "5.000"],
    ),
    "qqp": (
        "QQP",
        "id qid1 qid2 question1 question2 is_duplicate",
        ["question1", "question2"],
        "is_duplicate",
        [0, 1],
    ),
    "mnli": (
        "MNLI",
        "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse "
        "sentence1_parse sentence2_parse sentence1 sentence2 label1 gold_label",
        ["sentence1", "sentence2"],
        "gold_label",
        ["contradiction", "neutral", "entailment"],
    ),
    "qnli": (
        "QNLI",
        "index question sentence label",
        ["question", "sentence"],
        "label",
        ["entailment", "not_entailment"],
    ),
    "rte": (
        "RTE",
        "index sentence1 sentence2 label",
        ["sentence1", "sentence2"],
        "label",
        ["not_entailment", "entailment"],
    ),
    "wnli": (
        "WNLI",
        "index sentence1 sentence2 label",
        ["sentence1", "sentence2"],
        "label",
        [0, 1],
    ),
}
SMALL_GLUE = (
    "data.tokenizer=runs/run",
    f"model={{init_from: runs/run, encoder: modernbert, {SHAPE}}}",
    "data.held_out=0.2",
    "data.length=32",
    "batch={global_samples: 8}",
    "schedule={steps: 3}",
    "watch={samples: 8}",
)


def write_tsv(folder, name, columns, texts, label, values, rows):
    folder.mkdir(parents=True, exist_ok=True)
    sentences = make_texts(2 * rows)
    names = columns.split("," if "," in columns else " ")
    lines = [names]
    for row in range(rows):
        own = dict.fromkeys(names, str(row))
        own |= {column: sentences[2 * row + k] for k, column in enumerate(texts)}
        own[texts[0]] = f'a " quote {own[texts[0]]}'  # GLUE's quotes enclose nothing
        own[label] = str(values[row % len(values)])
        lines.append([own[column] for column in names])
    (folder / name).write_text("\n".join("\t".join(line) for line in lines) + "\n")


def write_glue(place):
    for folder, *layout in TASKS.values():
        write_tsv(place / folder, "train.tsv", *layout, rows=30)
        names = ["dev_matched.tsv", "dev_mismatched.tsv"]
        for name in names if folder == "MNLI" else ["dev.tsv"]:
            write_tsv(place / folder, name, *layout, rows=12)
    (place / "CoLA").mkdir()
    for name, rows in (("train.tsv", 30), ("dev.tsv", 12)):
        lines = [f"gj04\t{n % 2}\t*\t{t}" for n, t in enumerate(make_texts(rows))]
        (place / "CoLA" / name).write_text("\n".join(lines))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("glue")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        (folder / "train.txt").write_text("\n".join(make_texts(100)))
        write_glue(folder / "glue")
        small = settings(SMALL, "schedule={steps: 2}")
        assert main(["pretrain", str(RECIPE), "--name", "run", *small]) == 0
    return folder


@pytest.fixture
def here(trained, monkeypatch):
    load_tokenizer.cache_clear()
    monkeypatch.chdir(trained)
    monkeypatch.setenv("XDG_CACHE_HOME", str(trained / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return trained


def recipe_of(task, *more):
    overrides = ["data.tokenizer=runs/run", "model.init_from=runs/run", *more]
    return load_recipe(
        str(ROOT / "recipes" / "language" / f"glue_{task}.yaml"), overrides
    )


def test_all_tasks_by_one_command(here, capsys):
    (here / "glue" / "WNLI").rename(here / "WNLI")  # a task that is not there
    words = ["finetune", *map(str, RECIPES), "--seeds", "2", *settings(SMALL_GLUE)]
    result = json.loads(said(capsys, *words, "--json"))
    (here / "WNLI").rename(here / "glue" / "WNLI")
    assert result["left_out"] == ["glue_wnli"]
    scores = {
        (row["recipe"].removeprefix("glue_"), row["split"], row["metric"]): row
        for row in result["scores"]
    }
    assert scores.keys() == {
        ("cola", "test", "matthews"),
        ("sst2", "test", "accuracy"),
        ("mrpc", "test", "f1"),
        ("mrpc", "test", "accuracy"),
        ("stsb", "test", "pearson"),
        ("stsb", "test", "spearman"),
        ("qqp", "test", "f1"),
        ("qqp", "test", "accuracy"),
        ("mnli", "test", "accuracy"),
        ("mnli", "mismatched", "accuracy"),
        ("qnli", "test", "accuracy"),
        ("rte", "test", "accuracy"),
    }
    assert all(row["seeds"] == 2 for row in scores.values())
    by_task = {}
    for (task, _, _), row in scores.items():
        by_task.setdefault(task, []).append(row["value"])
    assert result["mean"] == pytest.approx(np.mean([*map(np.mean, by_task.values())]))
    for split in ("test", "mismatched"):
        file = Path("runs/glue_mnli/labels_all/seed_0") / f"{split}_predictions.npy"
        predicted, expected = np.load(file)
        table = result["tables"]["glue_mnli"]["scores"][0]
        table = table if split == "test" else table[split]
        assert table["seeds"][0] == pytest.approx((predicted == expected).mean())
    printed = said(capsys, *words)  # everything is trained: only the table again
    assert "glue_mnli" in printed
    assert "mismatched" in printed


def test_check_counts_every_test_split(here, capsys):
    words = ("check", ROOT / "recipes/language/glue_mnli.yaml", *settings(SMALL_GLUE))
    data = json.loads(said(capsys, *words, "--json"))["data"]
    sizes = {name: data[name].split(";")[0] for name in ("train", "test", "mismatched")}
    assert sizes == {"train": "30 texts"} | dict.fromkeys(
        ("test", "mismatched"), "12 texts"
    )
    assert "mismatched   12 texts" in said(capsys, *words)


@pytest.mark.parametrize("task", [*TASKS, "cola"])
def test_texts_and_labels_are_those_of_the_files(here, task):
    recipe = recipe_of(task)
    source = open_split(recipe, "train")
    assert len(source) == 30
    text = recipe_tokenizer(recipe).decode(source.ids[: source.starts[1]])
    sentences = make_texts(2) if task in TASKS else make_texts(1)
    for sentence in sentences[: len(recipe.data.columns)]:
        assert sentence.rstrip(".") in text
    values = TASKS[task][-1] if task in TASKS else [0, 1]
    if task == "stsb":
        assert source.targets[:3].tolist() == [0.5, 2.0, 5.0]
        return
    names = [source.class_names[number] for number in source.labels[:6].tolist()]
    assert names == [str(values[row % len(values)]) for row in range(6)]


def test_parquet_of_the_hub_gives_the_same_samples(here, tmp_path):
    """The layout of nyu-mll/glue: other names of files and columns."""
    table = pd.read_csv("glue/QQP/train.tsv", sep="\t", quoting=csv.QUOTE_NONE)
    names = ["question1", "question2", "is_duplicate"]
    hub = table[names].rename(columns={"is_duplicate": "label"})
    hub.to_parquet(tmp_path / "train-00000-of-00001.parquet")
    theirs = open_split(recipe_of("qqp", f"data.root={tmp_path}"), "train")
    ours = open_split(recipe_of("qqp"), "train")
    np.testing.assert_array_equal(theirs.ids, ours.ids)
    np.testing.assert_array_equal(theirs.labels, ours.labels)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["glue_rte", "glue_wnli", "--name", "x"], "--name must be given with one"),
        (["glue_rte", "glue_rte"], "glue_rte twice"),
        (["glue_mnli", "--set", "repeat={metrics: [f1]}"], "Use macro_f1"),
        (["glue_rte", "--set", "repeat={metrics: [pearson]}"], "must be of accuracy"),
        (["glue_rte", "glue_wnli", "--set", "data.root=absent"], "absent"),
    ],
)
def test_bad_commands_are_one_line(here, capsys, words, message):
    assert message in refused(capsys, "finetune", *words, *settings(SMALL_GLUE))


def test_runs_of_a_later_recipe_are_checked_before_the_first_one_trains(
    here, capsys, tmp_path
):
    (tmp_path / "glue").symlink_to(here / "glue")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "run").symlink_to(here / "runs" / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        said(capsys, "finetune", "glue_rte", *settings(SMALL_GLUE), "--seeds", "1")
        words = ("glue_qnli", "glue_rte", *settings(SMALL_GLUE, "optimizer.lr=0.5"))
        assert "glue_rte: optimizer.lr must be" in refused(capsys, "finetune", *words)
        assert not Path("runs/glue_qnli").exists()
