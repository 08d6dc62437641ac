"""Words with tags: CoNLL files and tables, finetune, continue, predict, export; bad lines are one line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

from r2mae.cli.main import main
from r2mae.data.tokenizer import load_tokenizer
from r2mae.errors import InputError
from r2mae.modalities.language.tagged import open_tagged_file, read_conll
from r2mae.recipe.run import load_run
from r2mae.training.objective import WordTags
from tests.conftest import make_texts
from tests.modalities.cell.test_cli import refused, said
from tests.modalities.language.interrupted import check_continues
from tests.modalities.language.test_cli import RECIPE, SHAPE, SMALL, TUNE, settings

TAGS = {"Anna": "B-PER", "Smith": "I-PER", "Paris": "B-LOC", "Rome": "B-LOC"}
RUN = "runs/tags/labels_all/seed_0"


def tagged(*more):
    return settings(
        (
            "data={root: '.', card: text_files, length: 32, held_out: 0.2}",
            f"model={{init_from: runs/run, encoder: modernbert, {SHAPE}}}",
            "batch={global_samples: 8}",
            "optimizer={lr: 1.0e-2}",
            "schedule={steps: 120}",
            "checkpoint={every_steps: 20}",
            "tune={target: token_tags}",
            "repeat={seeds: 1}",
        ),
        *more,
    )


def write_conll():
    """Sentences in which names are people or places; the last of the test split is too long."""
    draw = np.random.default_rng(0)
    people, places = ["Anna Smith", "Anna"], ["Paris", "Rome"]
    for split, count in (("train", 160), ("test", 40)):
        lines = ["-DOCSTART- -X- O", ""]
        for _ in range(count):
            person, place = draw.choice(people), draw.choice(places)
            words = f"the {person} saw {place} and the cat".split()
            lines += [f"{word} x {TAGS.get(word, 'O')}" for word in words] + [""]
        if split == "test":
            lines += ["cat x O"] * 60 + ["Paris x B-LOC"]
        Path(f"{split}.conll").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tags")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        texts = make_texts(200) + ["the Anna Smith saw Paris and Rome"] * 20
        (folder / "texts.txt").write_text("\n".join(texts))
        write_conll()
        short = settings(SMALL, "data.root=texts.txt", "schedule={steps: 5}")
        assert main(["pretrain", str(RECIPE), "--name", "run", *short]) == 0
        assert main(["finetune", str(TUNE), "--name", "tags", *tagged()]) == 0
    return folder


def test_tags_are_learnt_and_predicted(here, capsys, tmp_path):
    words = ("finetune", TUNE, "--name", "tags", *tagged(), "--against", "runs/tags")
    result = json.loads(said(capsys, *words, "--json"))
    assert result["classes"] == ["O", "B-LOC", "B-PER", "I-PER"]
    (row,) = result["scores"]
    assert row["f1"] > 0.9
    assert row["token_accuracy"] > 0.95
    assert row["recall"] < 1  # the place that data.length cuts off is not found
    assert row["against"]["difference"] == 0
    assert "test F1 of token_tags from" in said(capsys, *words)
    counts = said(capsys, "predict", RUN, "test", "-o", tmp_path / "out.csv", "--json")
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table) == ["name", "word", "tag", "predicted_tag", "probability"]
    assert (table["tag"] == table["predicted_tag"]).mean() == pytest.approx(
        row["token_accuracy"]
    )
    cut = json.loads(counts)["words_cut_off"]
    assert 0 < cut == table["probability"].isna().sum()
    assert set(table["predicted_tag"][-cut:]) == {"O"}


def test_words_without_tags_are_predicted(here, capsys, tmp_path):
    (tmp_path / "words.txt").write_text("the\nAnna\nSmith\n\nsaw\nRome\n")
    out = tmp_path / "out.tsv"
    said(capsys, "predict", RUN, tmp_path / "words.txt", "-o", out)
    table = pd.read_csv(out, sep="\t")
    assert table["predicted_tag"].tolist() == ["O", "B-PER", "I-PER", "O", "B-LOC"]
    assert "tag" not in table


def test_an_interrupted_run_continues_with_the_same_losses(here, capsys):
    check_continues(capsys, WordTags, TUNE, tagged("schedule.steps=40"))


def test_export_gives_equal_logits(here, capsys, tmp_path):
    said(capsys, "export", RUN, tmp_path / "out", "--to", "transformers")
    model = AutoModelForTokenClassification.from_pretrained(tmp_path / "out").eval()
    assert model.config.id2label[1] == "B-LOC"
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    loaded = load_run(RUN)
    source = loaded.wing.open_split(loaded.recipe, "test")
    batch = source.load(torch.arange(1), None, 0)
    given = tokenizer(" ".join(source.words[0]), return_tensors="pt")
    assert given["input_ids"].tolist() == batch["input_ids"].tolist()
    with torch.no_grad():
        ours = loaded.model.eval()(batch)
        theirs = model(**given).logits[0, batch["words"]]
    torch.testing.assert_close(theirs, ours, atol=1e-6, rtol=0)
    error = refused(capsys, "export", RUN, tmp_path / "onnx", "--to", "onnx")
    assert "tune.target must not be token_tags" in error


@pytest.mark.parametrize("encoder", ["bert", "roberta"])
def test_other_architectures_export(here, capsys, tmp_path, encoder):
    model = f"model={{init_from: null, encoder: {encoder}, {SHAPE}}}"
    short = tagged(model, "data.tokenizer=runs/run", "schedule.steps=2")
    said(capsys, "finetune", TUNE, "--name", encoder, *short)
    run = f"runs/{encoder}/labels_all/seed_0"
    out = json.loads(
        said(capsys, "export", run, tmp_path / "o", "--to", "transformers", "--json")
    )
    assert next(value for key, value in out.items() if "difference" in key) < 1e-6


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a O\nb\n", "line 2 must have 2 columns"),
        ("a\tO\n\tO\n", "line 2 must have 2 columns"),
        ("a O\n\nb PER\n", "line 3 must have a tag"),
        ("a B-\n", "line 1 must have a tag"),
    ],
)
def test_malformed_lines_are_named(tmp_path, text, words):
    (tmp_path / "train.conll").write_text(text)
    with pytest.raises(InputError, match=words):
        read_conll(tmp_path / "train.conll")


def test_a_malformed_file_ends_with_code_2(here, capsys, tmp_path):
    (tmp_path / "train.conll").write_text("a O\nb\n")
    error = refused(capsys, "finetune", TUNE, *tagged(f"data.root={tmp_path}"))
    assert f"{tmp_path}/train.conll: line 2 must have" in error


def test_tables_hold_names_or_numbers(here, tmp_path):
    row = {"tokens": ["the", "Anna", "Smith"], "ner_tags": ["O", "B-PER", "I-PER"]}
    section = load_run(RUN).recipe.data
    (tmp_path / "names.jsonl").write_text(json.dumps(row))
    assert open_tagged_file(section, tmp_path / "names.jsonl").tags == [row["ner_tags"]]
    numbered = pd.DataFrame([row | {"ner_tags": [0, 1, 2]}])
    numbered.to_parquet(tmp_path / "numbers.parquet")
    with pytest.raises(InputError, match="data.tag_names"):
        open_tagged_file(section, tmp_path / "numbers.parquet")
    named = section.model_copy(update={"tag_names": ("O", "B-PER", "I-PER")})
    source = open_tagged_file(named, tmp_path / "numbers.parquet")
    assert source.tags == [row["ner_tags"]]


def test_each_word_is_read_at_its_first_token(here, tmp_path):
    section = load_run(RUN).recipe.data
    (tmp_path / "a.conll").write_text("the O\nxylophonist O\nÀnna O\nsaw O\n")
    source = open_tagged_file(section, tmp_path / "a.conll")
    batch = source.load(torch.arange(1), None, 0)
    tokenizer = load_tokenizer(section.tokenizer)
    places = batch["words"].tolist()
    assert source.num_cut == 0
    ids = batch["input_ids"][0].tolist()
    for word, start, stop in zip(
        source.words[0], places, [*places[1:], len(ids) - 1], strict=True
    ):
        assert tokenizer.decode(ids[start:stop]).strip() == word


def test_a_test_split_without_entities_is_refused(here, capsys, tmp_path):
    for split, tag in (("train", "B-PER"), ("test", "O")):
        lines = f"Anna {tag}\nsaw O\n\n" * 20
        (tmp_path / f"{split}.conll").write_text(lines)
    words = tagged(f"data.root={tmp_path}")
    line = refused(capsys, "finetune", TUNE, "--name", "x", *words)
    assert "the test split must hold entities, by which it is scored" in line


def test_a_label_column_of_a_conll_file_is_refused(here, capsys):
    line = refused(
        capsys, "finetune", TUNE, "--name", "x", *tagged("data.label_column=pos")
    )
    assert "data.label_column must be null for" in line
