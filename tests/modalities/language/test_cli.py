"""Texts from the command line: tokenizer, store, pretrain, fill, evaluate, export, finetune; bad input is one line."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from r2mae.cli.main import main
from r2mae.errors import InputError
from r2mae.modalities.language.tokenizer import recipe_tokenizer
from r2mae.recipe.run import load_run
from r2mae.training.run_folder import RunFolder
from tests.conftest import ROOT, make_texts
from tests.data.test_tokenizer import make_tokenizer
from tests.modalities.cell.test_cli import refused, said
from tests.training.runs import cut, metric

RECIPE = ROOT / "recipes" / "language" / "gutenberg_tiny.yaml"
TUNE = ROOT / "recipes" / "language" / "sst2_finetune.yaml"
SHAPE = "width: 32, depth: 2, heads: 2, hidden: 32"
SMALL = (
    "data={root: train.txt, document: line, tokenizer: {vocab_size: 400}, length: 32, held_out: 0.2}",
    f"model={{encoder: modernbert, {SHAPE}}}",
    "batch={global_samples: 8}",
    "optimizer={lr: 1.0e-2, weight_decay: 0.01}",
    "schedule={steps: 200}",
    "watch={samples: 20, ratios: [0.3]}",
    "checkpoint={every_steps: 50}",
)
SMALL_TUNE = (
    "data={root: '.', card: text_files, label_column: kind, length: 32, held_out: 0.2}",
    f"model={{init_from: runs/run, encoder: modernbert, {SHAPE}}}",
    "batch={global_samples: 8}",
    "optimizer={lr: 5.0e-3}",
    "schedule={steps: 120}",
    "repeat={seeds: 2}",
)


def settings(chosen, *more):
    return [word for setting in (*chosen, *more) for word in ("--set", setting)]


def write_sentences(folder):
    kinds = ("cat", "dog", "bird")
    for split, numbers in (("train", range(150)), ("test", range(150, 210))):
        rows = [
            f"{text}\t{kinds[n % 3]}\t{n % 3}.5\tIs it a {kinds[n // 3 % 3]}?\t{kinds[n % 3] == kinds[n // 3 % 3]}"
            for n, text in zip(numbers, make_texts(210)[numbers[0] :], strict=False)
        ]
        (folder / f"{split}.tsv").write_text(
            "\n".join(["sentence\tkind\tnumber\tquestion\tanswer", *rows])
        )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with texts, labelled sentences and a run."""
    folder = tmp_path_factory.mktemp("texts")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        (folder / "train.txt").write_text("\n".join(make_texts(300)))
        write_sentences(folder)
        assert main(["pretrain", str(RECIPE), "--name", "run", *settings(SMALL)]) == 0
    return folder


def test_tokenizer_store_and_training_from_it(here, capsys):
    made = json.loads(
        said(
            capsys,
            "data",
            "build",
            "tokenizer",
            "tok",
            "train.txt",
            "--vocab-size",
            400,
            "--json",
        )
    )
    assert made["vocab_size"] == 400
    printed = said(
        capsys,
        "data",
        "build",
        "language",
        "store",
        "train.txt",
        "--tokenizer",
        "tok",
        "--document",
        "line",
    )
    assert "300 documents" in printed
    report = json.loads(said(capsys, "data", "inspect", "store", "--json"))
    assert (
        report["utilisation"]["128"] > 1 - 128 / report["tokens"]
    )  # padding in the last row alone
    assert said(
        capsys,
        "data",
        "build",
        "language",
        "store",
        "train.txt",
        "--tokenizer",
        "tok",
        "--document",
        "line",
    )
    from_store = settings(
        SMALL, "data={root: store, length: 32, held_out: 0.2}", "schedule.steps=4"
    )
    said(capsys, "pretrain", RECIPE, "--name", "from_store", "--fresh", *from_store)
    assert "absent or empty" in refused(
        capsys, "data", "build", "tokenizer", "tok", "train.txt"
    )
    assert "1 documents" in said(
        capsys,
        "data",
        "build",
        "language",
        "topics",
        "--card",
        "python_topics",
        "--tokenizer",
        "tok",
    )
    absent = (
        "data",
        "build",
        "language",
        "absent",
        "train.txt",
        "--tokenizer",
        "runs/no",
    )
    assert "--tokenizer must exist, got 'runs/no'" in refused(capsys, *absent)
    assert "exactly one of them" in refused(
        capsys,
        "data",
        "build",
        "language",
        "both",
        "train.txt",
        "--card",
        "a",
        "--tokenizer",
        "tok",
    )


def test_training_learns_and_evaluation_says_so(here, capsys):
    scores = json.loads(
        said(
            capsys,
            "evaluate",
            "runs/run",
            "--task",
            "masked",
            "--ratios",
            "0.15,0.5",
            "--json",
        )
    )
    for row in scores["scores"]:
        assert row["accuracy"] > row["unigram_accuracy"]
        assert row["loss"] < row["unigram_loss"]
        assert row["perplexity"] == pytest.approx(np.exp(row["loss"]))
    again = json.loads(
        said(
            capsys,
            "evaluate",
            "runs/run",
            "--task",
            "masked",
            "--ratios",
            "0.15,0.5",
            "--json",
        )
    )
    assert again == scores


def test_a_run_needs_neither_texts_nor_tokenizer_files(
    trained, tmp_path, monkeypatch, capsys
):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "run").symlink_to(trained / "runs" / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    places = json.loads(
        said(
            capsys,
            "fill",
            "runs/run",
            "The [MASK] number 7 [MASK] on the mat",
            "--json",
        )
    )["places"]
    assert len(places) == 2
    assert all(0 < found["probability"] <= 1 for place in places for found in place)
    assert [place[0]["probability"] >= place[1]["probability"] for place in places] == [
        True,
        True,
    ]


def test_fill_and_exports_hide_a_byte_bpe_word_with_its_space(here, capsys, tmp_path):
    """Both see what training saw: [MASK] in the place of " bird", and no token for a space."""
    said(capsys, "export", "runs/run", tmp_path / "out", "--to", "transformers")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = tokenizer("The [MASK] number 7 sat")["input_ids"]
    plain = tokenizer("The bird number 7 sat")["input_ids"]
    place = ids.index(tokenizer.mask_token_id)
    assert ids[:place] == plain[:place]
    after = len(ids) - place - 1
    assert ids[-after:] == plain[-after:]
    config = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert config["model_max_length"] == 32  # data.length
    line = said(capsys, "fill", "runs/run", "The [MASK] number 7 sat", "--json")
    guesses = [guess["token"] for guess in json.loads(line)["places"][0]]
    assert any(guess.strip() in ("cat", "dog", "bird") for guess in guesses), guesses


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_fill_and_exports_of_other_tokenizers(here, capsys, tmp_path, kind):
    """Item 15: [MASK] leaves no token for a space, whatever the kind of tokenizer."""
    make_tokenizer(kind).save_pretrained(tmp_path / "tok")
    data = f"data={{root: train.txt, document: line, tokenizer: {tmp_path / 'tok'}, length: 64}}"
    start = settings(SMALL, data, "schedule.steps=1")
    said(capsys, "pretrain", RECIPE, "--name", kind, "--fresh", *start)
    line = said(capsys, "fill", f"runs/{kind}", "The [MASK] number", "--json")
    assert len(json.loads(line)["places"]) == 1
    said(capsys, "export", f"runs/{kind}", tmp_path / "out", "--to", "transformers")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = tokenizer("The [MASK] number", add_special_tokens=False)["input_ids"]
    parts = [
        tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in ("The", " number")
    ]
    assert ids == [*parts[0], tokenizer.mask_token_id, *parts[1]]


def test_continued_run_is_the_same(here, capsys):
    """From an earlier checkpoint on, a copy ends with the weights of the run that never stopped."""
    whole = load_run("runs/run").model.state_dict()
    start = cut(RunFolder("runs/run"), "cut").pointer("last").name.removeprefix("step_")
    assert main(["pretrain", str(RECIPE), "--name", "cut", *settings(SMALL)]) == 0
    assert f"continuing at step {start}" in capsys.readouterr().err
    continued = load_run("runs/cut").model.state_dict()
    assert all(torch.equal(whole[name], continued[name]) for name in whole)


def test_export_gives_identical_logits(here, capsys, tmp_path):
    said(capsys, "export", "runs/run", tmp_path / "out", "--to", "transformers")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "out").eval()
    ours = load_run("runs/run").model
    encoded = tokenizer("The [MASK] number 7 sat on the mat", return_tensors="pt")
    ids = encoded["input_ids"]
    batch = {
        "input_ids": ids,
        "segment_starts": np.array([0]),
        "segment_lengths": np.array([ids.shape[1]]),
    }
    from r2mae.masking.mask import build_mask

    with torch.no_grad():
        theirs = (
            model(**encoded)
            .logits[0][ids[0] == tokenizer.mask_token_id]
            .softmax(1)
            .topk(5)
        )
        probabilities, tokens = ours.likeliest(
            batch, build_mask(ids == tokenizer.mask_token_id), 5
        )
        features = (
            AutoModel.from_pretrained(tmp_path / "out")
            .eval()(**encoded)
            .last_hidden_state.mean(1)
        )
    assert tokens.tolist() == theirs.indices.tolist()
    assert torch.allclose(probabilities, theirs.values, atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(ours.embed(batch), features, atol=1e-5)
    assert (
        AutoModelForSequenceClassification.from_pretrained(
            tmp_path / "out"
        ).config.num_labels
        == 2
    )
    assert "must be transformers" in refused(
        capsys, "export", "runs/run", tmp_path / "timm", "--to", "timm"
    )
    assert not (tmp_path / "timm").exists()


@pytest.mark.parametrize("kind", ["modernbert", "bert", "roberta"])
def test_goes_on_from_a_folder_of_transformers(here, capsys, tmp_path, kind):
    """Continued pretraining: exported, or anybody's, as long as it is a masked language model."""
    shape = settings(SMALL, f"model={{encoder: {kind}, {SHAPE}}}", "schedule.steps=2")
    said(capsys, "pretrain", RECIPE, "--name", f"first_{kind}", "--fresh", *shape)
    said(
        capsys, "export", f"runs/first_{kind}", tmp_path / "out", "--to", "transformers"
    )
    start = settings(
        SMALL,
        f"data={{root: train.txt, document: line, tokenizer: {tmp_path / 'out'}, length: 32, held_out: 0.2}}",
        f"model={{encoder: {kind}, init_from: {tmp_path / 'out'}}}",
        "schedule.steps=1",
        "optimizer.lr=1.0e-9",
    )
    said(capsys, "pretrain", RECIPE, "--name", f"next_{kind}", "--fresh", *start)
    before, after = (
        load_run(f"runs/{name}_{kind}").model.state_dict() for name in ("first", "next")
    )
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_finetune_scores_and_exports(here, capsys, tmp_path):
    tuned = json.loads(
        said(
            capsys, "finetune", TUNE, "--name", "tuned", *settings(SMALL_TUNE), "--json"
        )
    )
    (row,) = tuned["scores"]
    assert row["accuracy"] > 0.9
    assert row["matthews"] > 0.85
    assert tuned["classes"] == ["bird", "cat", "dog"]
    said(
        capsys,
        "export",
        "runs/tuned/labels_all/seed_0",
        tmp_path / "out",
        "--to",
        "transformers",
    )
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    texts = make_texts(210)[150:]  # of the test split
    (here / "held_out.txt").write_text("\n".join(texts))
    run = "runs/tuned/labels_all/seed_0"
    said(capsys, "predict", run, "held_out.txt", "-o", "held_out.csv")
    predicted = pd.read_csv("held_out.csv")["predicted_class"].tolist()
    with torch.no_grad():
        logits = model(**tokenizer(texts, return_tensors="pt", padding=True)).logits
    exported = [model.config.id2label[number] for number in logits.argmax(1).tolist()]
    assert exported == predicted
    expected = [("cat", "dog", "bird")[number % 3] for number in range(150, 210)]
    accuracy = np.mean(np.array(predicted) == np.array(expected))
    assert accuracy == pytest.approx(row["seeds"][0])


def test_numbers_are_learnt_and_exported_in_their_units(here, capsys, tmp_path):
    numbers = settings(
        SMALL_TUNE, "data.label_column=number", "tune={target: regression}"
    )
    printed = said(capsys, "finetune", TUNE, "--name", "numbers", *numbers)
    assert "Pearson" in printed
    again = json.loads(
        said(capsys, "finetune", TUNE, "--name", "numbers", *numbers, "--json")
    )
    (row,) = again["scores"]
    assert row["pearson"] > 0.9
    assert row["squared_error"] < 0.25
    predicted, expected = np.load("runs/numbers/labels_all/seed_0/test_predictions.npy")
    assert set(expected) == {0.5, 1.5, 2.5}
    said(
        capsys,
        "predict",
        "runs/numbers/labels_all/seed_0",
        "test",
        "-o",
        tmp_path / "said.tsv",
    )
    answers = pd.read_csv(tmp_path / "said.tsv", sep="\t")
    assert [*answers] == ["name", "predicted"]
    np.testing.assert_allclose(answers["predicted"], predicted, rtol=1e-5)
    said(
        capsys,
        "export",
        "runs/numbers/labels_all/seed_0",
        tmp_path / "out",
        "--to",
        "transformers",
    )
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert model.config.problem_type == "regression"
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        given = tokenizer(
            make_texts(210)[150], return_tensors="pt", truncation=True, max_length=32
        )
        assert float(model(**given).logits) == pytest.approx(predicted[0], abs=1e-4)
    few = settings(
        SMALL_TUNE,
        "data.label_column=number",
        "tune={target: regression}",
        "repeat={labels_per_class: [5]}",
    )
    assert "labels_per_class must be [all]" in refused(
        capsys, "finetune", TUNE, "--name", "bad", *few
    )
    words = settings(SMALL_TUNE, "tune={target: regression}")
    assert "kind must be a number, got 'cat'" in refused(
        capsys, "finetune", TUNE, "--name", "bad", *words
    )


def test_masks_are_those_of_training(here, capsys):
    """Border tokens are never hidden, and the share is of the others."""
    shown = json.loads(
        said(
            capsys,
            "mask",
            RECIPE,
            *settings(SMALL),
            "--steps",
            "0:2",
            "--positions",
            "0:8",
            "--json",
        )
    )
    for step in shown["steps"]:
        for sample in step["samples"]:
            assert sample["never"]
            assert not set(sample["masked"]) & set(sample["never"])
            assert 0.15 <= len(sample["masked"]) / (32 - len(sample["never"])) <= 0.42
    assert "#" in said(capsys, "mask", RECIPE, *settings(SMALL), "--steps", "0:1")


def test_a_run_from_a_store_embeds_and_overwrites_nothing(here, capsys):
    said(capsys, "data", "build", "tokenizer", "mine", "train.txt", "--vocab-size", 400)
    said(
        capsys,
        "data",
        "build",
        "language",
        "kept",
        "train.txt",
        "--tokenizer",
        "mine",
        "--document",
        "line",
    )
    start = settings(
        SMALL,
        "data={root: kept, tokenizer: mine, length: 32, held_out: 0.2}",
        "schedule.steps=2",
    )
    said(capsys, "pretrain", RECIPE, "--name", "kept_run", "--fresh", *start)
    (here / "table.csv").write_text("text,label\nThe cat,1\nThe dog,0\n")
    said(capsys, "embed", "runs/kept_run", "table.csv", "-o", "table.npy")
    assert (here / "table.csv").read_text().startswith("text,label")
    assert np.load("table.npy").shape == (2, 32)
    (here / "gap.txt").write_text("one\n\nthree\n")
    assert "line 2 must be text" in refused(
        capsys, "embed", "runs/kept_run", "gap.txt", "-o", "gap.npy"
    )
    other = settings(
        SMALL, "data={root: kept, tokenizer: tok, length: 32, held_out: 0.2}"
    )
    said(
        capsys,
        "data",
        "build",
        "tokenizer",
        "tok_other",
        "train.txt",
        "--vocab-size",
        350,
    )
    other = [word.replace("tokenizer: tok,", "tokenizer: tok_other,") for word in other]
    assert "the store's own" in refused(
        capsys, "pretrain", RECIPE, "--name", "bad", *other
    )


def test_embed_and_predict_report_texts_over_the_length(here, capsys):
    """Item 16: two texts that differ after data.length, and a short one."""
    start = " ".join(["The cat number 7"] * 20)
    texts = [f"{start} sat on the mat", f"{start} ran to the roof", "The cat"]
    (here / "long.txt").write_text("\n".join(texts))
    tuned = settings(SMALL_TUNE, "repeat={seeds: 1}", "schedule={steps: 5}")
    said(capsys, "finetune", TUNE, "--name", "brief", "--fresh", *tuned)
    classifier = "runs/brief/labels_all/seed_0"
    for verb, run, out in (
        ("embed", "runs/run", "long.npy"),
        ("predict", classifier, "long.parquet"),
    ):
        printed = said(capsys, verb, run, "long.txt", "-o", out)
        assert (
            "2 of 3 texts (66.7 %) exceed data.length, 32 tokens, and were cut"
            in printed
        )
        options = ("--long-texts", "windows", "--json")
        report = json.loads(said(capsys, verb, run, "long.txt", "-o", out, *options))
        assert (report["samples"], report["long_texts"]) == (3, 2)
        error = refused(
            capsys, verb, run, "long.txt", "-o", out, "--long-texts", "error"
        )
        assert "long.txt: line 1 must have at most 32 tokens" in error
        assert "got the split test" in refused(
            capsys, verb, run, "test", "-o", out, "--long-texts", "windows"
        )
    table = pd.read_parquet("long.parquet")
    assert table["name"].tolist() == [f"long.txt, line {n}" for n in (1, 2, 3)]
    assert table.iloc[0, 2] != table.iloc[1, 2]
    with pytest.warns(UserWarning, match="2 of 3 texts"):
        cut = load_run("runs/run").embed(texts)
    assert np.array_equal(cut[0], cut[1])


def test_windows_of_a_text_are_averaged(here, capsys):
    """Item 16: the feature of a long text is the mean of those of its windows."""
    run = load_run("runs/run")
    words = [f"{n} cat" for n in range(40)]
    (here / "long.txt").write_text(" ".join(words))
    options = ("--long-texts", "windows")
    said(capsys, "embed", "runs/run", "long.txt", "-o", "long.npy", *options)
    tokenizer = recipe_tokenizer(run.recipe)
    ids = tokenizer(" ".join(words), add_special_tokens=False)["input_ids"]
    windows = np.array_split(ids, -(-len(ids) // 30))
    parts = [run.embed([tokenizer.decode(window)]) for window in windows]
    expected = np.concatenate(parts).mean(axis=0, keepdims=True)
    assert len(windows) > 2
    np.testing.assert_allclose(np.load("long.npy"), expected, atol=1e-5)


def test_bad_rows_are_skipped_on_request(here, capsys):
    """Item 18: names keep the numbers of the file's rows."""
    (here / "bad.csv").write_text("text,n\none,1\na, b,2\n,3\nfour,4\n")
    command = ("embed", "runs/run", "bad.csv", "-o", "bad.npy")
    assert "--skip-bad-rows" in refused(capsys, *command)
    assert main([*command, "--skip-bad-rows"]) == 0
    assert "left out: 2 bad rows: bad.csv: row 1 (line 3)" in capsys.readouterr().err
    names = pd.read_csv("bad.names.csv")["name"].tolist()
    assert names == ["bad.csv, row 0", "bad.csv, row 3"]
    said(capsys, "data", "build", "tokenizer", "bad_tok", "train.txt")
    build = (
        "data",
        "build",
        "language",
        "bad_store",
        "bad.csv",
        "--tokenizer",
        "bad_tok",
    )
    assert "must have 2 fields" in refused(capsys, *build)
    printed = said(capsys, *build, "--skip-bad-rows")
    assert "2 documents" in printed
    assert "2 bad rows were left out" in printed


def test_a_table_of_mostly_bad_rows_is_refused(here, capsys):
    (here / "worse.csv").write_text("text,n\none,1\na, b,2\n,3\n")
    said(capsys, "data", "build", "tokenizer", "worse_tok", "train.txt")
    build = (
        "data",
        "build",
        "language",
        "worse",
        "worse.csv",
        "--tokenizer",
        "worse_tok",
    )
    embed = ("embed", "runs/run", "worse.csv", "-o", "worse.npy")
    for command in (build, embed):
        line = refused(capsys, *command, "--skip-bad-rows")
        assert "worse.csv must be right in at least half of 3 rows" in line
    (here / "sparse.txt").write_text("one\n\n\n\ntwo\n")  # lines are no rows
    embed = ("embed", "runs/run", "sparse.txt", "-o", "sparse.npy")
    said(capsys, *embed, "--skip-bad-rows")
    assert len(np.load("sparse.npy")) == 2


def test_a_run_on_pairs_refuses_single_texts(here, capsys):
    """Item 20."""
    pairs = settings(
        SMALL_TUNE,
        "data={root: '.', card: text_files, label_column: answer, length: 48}",
        "data.columns=[sentence, question]",
        "repeat={seeds: 1}",
        "schedule={steps: 2}",
    )
    said(capsys, "finetune", TUNE, "--name", "on_pairs", "--fresh", *pairs)
    run = "runs/on_pairs/labels_all/seed_0"
    (here / "single.txt").write_text("One text.")
    options = ("-o", "out.csv")
    for data in (("single.txt",), ("test.tsv", "--column", "sentence")):
        line = refused(capsys, "predict", run, *data, *options)
        assert "table with the columns sentence and question" in line
    said(capsys, "predict", run, "test.tsv", *options)
    assert "cut or error for pairs" in refused(
        capsys, "predict", run, "test.tsv", *options, "--long-texts", "windows"
    )


def test_unknown_tokens_are_reported(here, capsys):
    """Item 17: by build, inspect, check and embed."""
    made = ("data", "build", "tokenizer", "words", "train.txt", "--kind", "wordpiece")
    said(capsys, *made, "--vocab-size", 400)
    (here / "foreign.txt").write_text("The cat\nтишина над рекой\n" * 40)
    build = (
        "data",
        "build",
        "language",
        "foreign",
        "foreign.txt",
        "--tokenizer",
        "words",
    )
    with pytest.warns(UserWarning, match="unknown to the tokenizer"):
        printed = said(capsys, *build, "--document", "line")
    assert "% of tokens are unknown to the tokenizer" in printed
    report = json.loads(said(capsys, "data", "inspect", "foreign", "--json"))
    assert report["unknown_tokens"] >= 40
    data = "data={root: foreign, length: 32, held_out: 0.5}"
    checked = settings(SMALL, data)
    lines = said(capsys, "check", RECIPE, *checked)
    assert "% unknown to the tokenizer" in lines
    short = ("--name", "of_foreign", "--fresh", *checked, "--set", "schedule.steps=1")
    said(capsys, "pretrain", RECIPE, *short)
    printed = said(capsys, "embed", "runs/of_foreign", "foreign.txt", "-o", "out.npy")
    assert "% of tokens are unknown to the tokenizer" in printed


def test_held_out_loss_as_trained_and_perplexity(here):
    """Item 20: 10 % of hidden tokens stay visible in training, in no other held-out loss."""
    folder = RunFolder("runs/run")
    losses = metric(folder, "validation/loss")
    as_trained = metric(folder, "validation/loss_as_trained")
    perplexity = metric(folder, "validation/perplexity")
    last = max(losses)
    assert perplexity[last] == pytest.approx(np.exp(losses[last]), rel=1e-4)
    train = metric(folder, "train/loss")
    late = np.mean([loss for step, loss in train.items() if step > 150])
    assert abs(as_trained[last] - late) < abs(losses[last] - late)


def test_init_from_alone_takes_the_encoder_of_the_folder(here, capsys, tmp_path):
    """Item 20: encoder, shape and tokenizer are those of a BERT."""
    shape = settings(SMALL, f"model={{encoder: bert, {SHAPE}}}", "schedule.steps=1")
    said(capsys, "pretrain", RECIPE, "--name", "a_bert", "--fresh", *shape)
    said(capsys, "export", "runs/a_bert", tmp_path / "bert", "--to", "transformers")
    data = "data={root: train.txt, document: line, length: 32, held_out: 0.2}"
    for source in (tmp_path / "bert", "runs/a_bert"):
        start = settings(
            SMALL, data, f"model={{init_from: {source}}}", "schedule.steps=1"
        )
        said(capsys, "pretrain", RECIPE, "--name", "of_bert", "--fresh", *start)
        assert load_run("runs/of_bert").recipe.model.encoder == "bert"
    tuned = settings(SMALL_TUNE, f"model={{init_from: {tmp_path / 'bert'}}}")
    assert "BertForMaskedLM" not in said(capsys, "check", TUNE, *tuned)
    assert "must be bert, as init_from is" in refused(
        capsys, "check", TUNE, *tuned, "--set", "model.encoder=modernbert"
    )


def test_check_of_a_fine_tuning_recipe_opens_the_test_split(here, capsys, tmp_path):
    """Item 20."""
    checked = said(capsys, "check", TUNE, *settings(SMALL_TUNE))
    assert "60 texts" in checked
    (tmp_path / "train.tsv").write_text((here / "train.tsv").read_text())
    alone = settings(
        SMALL_TUNE, f"data={{root: {tmp_path}, card: text_files, label_column: kind}}"
    )
    assert "test.*" in refused(capsys, "check", TUNE, *alone)
    (tmp_path / "test.tsv").write_text("sentence\tkind\nThe cow\tcow\n")
    line = refused(capsys, "check", TUNE, *alone)
    assert "the test split must hold only classes" in line


def test_pairs_of_sentences(here, capsys):
    """A question about a sentence: what is asked for follows from both, and each pair trains."""
    pairs = settings(
        SMALL_TUNE,
        "data={root: '.', card: text_files, label_column: answer, length: 48, held_out: 0.2}",
        "data.columns=[sentence, question]",
        "repeat={seeds: 1}",
        "schedule={steps: 3}",
    )
    result = json.loads(
        said(capsys, "finetune", TUNE, "--name", "pairs", *pairs, "--json")
    )
    assert result["classes"] == ["False", "True"]
    assert len(np.load("runs/pairs/labels_all/seed_0/test_predictions.npy")[0]) == 60


def test_frozen_features_and_embed(here, capsys):
    frozen = settings(SMALL_TUNE, "tune={freeze: true}", "repeat={seeds: 1}")
    (row,) = json.loads(
        said(capsys, "finetune", TUNE, "--name", "frozen", *frozen, "--json")
    )["scores"]
    assert 0 < row["accuracy"] <= 1
    text = TUNE.read_text().replace(
        "card: sst2", "card: text_files, root: '.', label_column: kind"
    )
    (here / "kinds.yaml").write_text(text.replace("runs/gutenberg_tiny", "runs/absent"))
    probed = said(
        capsys,
        "evaluate",
        "runs/run",
        "--task",
        "linear_probe",
        "--data",
        "kinds.yaml",
        "--baselines",
        "--json",
    )
    scores = json.loads(probed)["scores"]
    assert scores["pretrained"]["accuracy"] > 0.9
    assert set(scores) == {"pretrained", "untrained", "bag of tokens"}
    digits = ROOT / "recipes" / "vision" / "digits_finetune.yaml"
    assert "recipe on language" in refused(
        capsys, "evaluate", "runs/run", "--task", "knn", "--data", digits
    )
    said(capsys, "embed", "runs/run", "train.txt", "-o", "out.npy")
    assert np.load("out.npy").shape == (300, 32)
    assert "column 'text'" in refused(
        capsys, "embed", "runs/run", "train.tsv", "-o", "out.npy"
    )
    said(
        capsys,
        "embed",
        "runs/run",
        "train.tsv",
        "--column",
        "sentence",
        "-o",
        "out.npy",
    )
    assert np.load("out.npy").shape[1] == 32
    assert "--column" in refused(
        capsys, "embed", "runs/run", "test", "--column", "sentence", "-o", "out.npy"
    )


@pytest.mark.parametrize(
    ("subcommand", "more", "words"),
    [
        ("pretrain", ["data.root=nothing.txt"], ["nothing.txt", "files of text"]),
        (
            "pretrain",
            ["data.tokenizer=nowhere/at/all"],
            ["data.tokenizer", "nowhere/at/all"],
        ),
        ("pretrain", ["data.tokenizer=null"], ["data.tokenizer", "got nothing"]),
        (
            "pretrain",
            ["model.config={max_position_embeddings: 16}"],
            ["data.length must be 16 at most", "got 32"],
        ),
        ("pretrain", ["model.config={nonsense: 1}"], ["model.config", "nonsense"]),
        (
            "pretrain",
            ["model.config={hidden_activation: nonsense}"],
            ["transformers can build", "nonsense"],
        ),
        (
            "pretrain",
            ["model.config={pad_token_id: 99999}"],
            ["model.config.pad_token_id", "99999"],
        ),
        (
            "pretrain",
            ["model.config={classifier_activation: silu}"],
            ["model.config.classifier_activation"],
        ),
        (
            "pretrain",
            ["model.heads=32"],
            ["model.width must be divisible by 64", "got 32"],
        ),
        (
            "pretrain",
            ["mask.replacement=[0.9, 0.2]"],
            ["mask.replacement", "sum of at most 1"],
        ),
        (
            "pretrain",
            ["model.init_from=runs/absent"],
            ["model.init_from must exist", "runs/absent"],
        ),
        (
            "pretrain",
            ["data.tokenizer=runs/absent"],
            ["data.tokenizer must exist", "runs/absent"],
        ),
        (
            "finetune",
            ["data.tokenizer=./absent"],
            ["data.tokenizer must exist", "./absent"],
        ),
        (
            "pretrain",
            ["model.init_from=runs/run", "model.encoder=bert"],
            ["model.encoder must be modernbert"],
        ),
        (
            "pretrain",
            ["model.init_from=runs/run", "model.width=64"],
            ["model.width must be 32", "got 64"],
        ),
        (
            "pretrain",
            ["model.init_from=runs/run", "model.config={num_hidden_layers: 1}"],
            ["num_hidden_layers", "left out"],
        ),
        (
            "finetune",
            ["data.columns=[text]"],
            ["column 'text'", "sentence, kind, number, question"],
        ),
        ("finetune", ["data.label_column=number"], ["number", "classes"]),
        ("finetune", ["data.label_column=none"], ["column 'none'"]),
        ("finetune", ["tune.num_classes=5"], ["tune.num_classes must be 3"]),
    ],
)
def test_bad_input_is_one_line(here, capsys, subcommand, more, words):
    chosen, recipe = (SMALL, RECIPE) if subcommand == "pretrain" else (SMALL_TUNE, TUNE)
    if any("init_from" in setting for setting in more):
        chosen = [one.replace("tokenizer: {vocab_size: 400}, ", "") for one in chosen]
    line = refused(
        capsys, subcommand, recipe, "--name", "bad", "--fresh", *settings(chosen, *more)
    )
    assert all(word in line for word in words), line
    assert not (here / "runs" / "bad").exists()


def test_a_vocabulary_beyond_the_embedding_is_refused(here, capsys):
    files = ("train.txt", "train.tsv", "--column", "sentence")
    said(capsys, "data", "build", "tokenizer", "larger", *files, "--vocab-size", 500)
    data = "data={root: train.txt, document: line, tokenizer: larger, length: 32, held_out: 0.2}"
    line = refused(
        capsys,
        "pretrain",
        RECIPE,
        "--name",
        "bad",
        *settings(SMALL, data, "model.init_from=runs/run"),
    )
    assert "400 tokens at most" in line
    said(
        capsys,
        "data",
        "build",
        "tokenizer",
        "other",
        "train.tsv",
        "--column",
        "question",
        "--vocab-size",
        400,
    )
    data = data.replace("larger", "other")
    line = refused(
        capsys,
        "pretrain",
        RECIPE,
        "--name",
        "bad",
        *settings(SMALL, data, "model.init_from=runs/run"),
    )
    assert "must be that of model.init_from" in line


def test_fill_says_what_it_wants(here, capsys):
    assert "must hold [MASK]" in refused(capsys, "fill", "runs/run", "nothing asked")
    assert "32 tokens at most" in refused(
        capsys, "fill", "runs/run", "word " * 60 + "[MASK]"
    )


def test_released_files_name_what_is_forgotten_and_hold_all_weights(
    here, capsys, tmp_path
):
    """Unknown entries of a configuration are left out; tensors that are not there are missed, not made up."""
    from safetensors.torch import load_file, save_file

    shape = settings(SMALL, f"model={{encoder: bert, {SHAPE}}}", "schedule.steps=1")
    said(capsys, "pretrain", RECIPE, "--name", "plain_bert", "--fresh", *shape)
    said(capsys, "export", "runs/plain_bert", tmp_path / "out", "--to", "transformers")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    old = config | {
        "gradient_checkpointing": False,
        "position_embedding_type": "absolute",
    }
    (tmp_path / "out" / "config.json").write_text(json.dumps(old))
    data = f"data={{root: train.txt, document: line, tokenizer: {tmp_path / 'out'}, length: 32, held_out: 0.2}}"
    start = settings(
        SMALL,
        data,
        f"model={{encoder: bert, init_from: {tmp_path / 'out'}}}",
        "schedule.steps=1",
    )
    said(capsys, "pretrain", RECIPE, "--name", "from_old", "--fresh", *start)
    assert load_run("runs/from_old").model.width == 32
    weights = load_file(tmp_path / "out" / "model.safetensors")
    fewer = {name: tensor for name, tensor in weights.items() if "layer.1." not in name}
    save_file(fewer, tmp_path / "out" / "model.safetensors", metadata={"format": "pt"})
    line = refused(capsys, "pretrain", RECIPE, "--name", "bad", *start)
    assert "must hold all weights of an encoder" in line
    assert "layer.1." in line


def test_texts_in_memory_are_embedded_as_their_file_is(here, capsys):
    texts, run = make_texts(12), load_run("runs/run")
    (here / "lines.txt").write_text("\n".join(texts))
    said(capsys, "embed", "runs/run", "lines.txt", "-o", "lines.npy")
    assert np.array_equal(run.embed(texts), np.load("lines.npy"))
    for objects, got in (
        ("a text", "str"),
        (["a", 3], "3"),
        ([], "empty"),
        (["\ud800"], "ud800"),
        ({"text": ["a"]}, "dict"),
        (pd.DataFrame({"text": ["a"]}), "DataFrame. Give one column"),
    ):
        with pytest.raises(InputError, match=f"must be .*got .*{got}"):
            run.embed(objects)


def test_tokens_of_texts_have_offsets(here, capsys):
    run = load_run("runs/run")
    texts = ["a cat", "a dog and a bird", " ".join(f"{n} cat" for n in range(40))]
    (here / "three.txt").write_text("\n".join(texts))
    embed = ("embed", "runs/run", "three.txt", "--tokens", "-o")
    windows = ("--long-texts", "windows")
    assert "must be a .npz file" in refused(capsys, *embed, "three.npy", *windows)
    said(capsys, *embed, "three.npz", *windows)
    archive = np.load("three.npz")
    tokenizer = recipe_tokenizer(run.recipe)
    lengths = np.diff(archive["offsets"])
    assert lengths[:2].tolist() == [
        len(tokenizer(text)["input_ids"]) for text in texts[:2]
    ]
    assert lengths[2] > 32
    assert len(pd.read_csv("three.names.csv")) == 3
    tokens = run.embed_tokens(texts[:2])
    first = archive["tokens"][: archive["offsets"][2]]
    np.testing.assert_allclose(np.concatenate(tokens), first, atol=1e-5)
    said(capsys, "embed", "runs/run", "three.txt", "-o", "cls.npy", "--pool", "cls")
    np.testing.assert_allclose(
        np.load("cls.npy")[:2], [rows[0] for rows in tokens], atol=1e-5
    )
    line = refused(
        capsys, "embed", "runs/run", "three.txt", "-o", "x.npy", "--pool", "concat"
    )
    assert "must be given for samples with equal numbers of tokens" in line


def test_a_report_fills_held_out_texts_with_probabilities(here, capsys):
    said(capsys, "report", "runs/run", "-o", "page.html")
    page = (here / "page.html").read_text()
    first_of_three = r'title="[^"]*? (\d\.\d\d),[^"]*">[^<]+ <small>(\d\.\d\d)'
    guesses = re.findall(first_of_three, page)
    assert len(guesses) > 9
    assert all(first == second for first, second in guesses)
    assert "No pictures" not in page


def test_a_folder_of_texts_has_a_row_a_file(here, capsys):
    (here / "books").mkdir()
    texts = make_texts(2)
    for name, text in zip("ab", texts, strict=True):
        (here / "books" / f"{name}.txt").write_text(f"{text}\n")
    said(capsys, "embed", "runs/run", "books", "-o", "books.parquet")
    table = pd.read_parquet("books.parquet")
    assert table["name"].tolist() == ["books/a.txt", "books/b.txt"]
    (here / "lines.txt").write_text("\n".join(texts))
    said(capsys, "embed", "runs/run", "lines.txt", "-o", "lines.npy")
    features = np.stack(table["features"])
    np.testing.assert_allclose(features, np.load("lines.npy"), atol=1e-6)
