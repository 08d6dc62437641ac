"""Questions: held-out contexts, finetune, continue, predict, export; bad data is one line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from r2mae.cli.main import main
from r2mae.data.source import root_of
from r2mae.data.tokenizer import load_tokenizer
from r2mae.errors import InputError
from r2mae.evaluation.answer_span import answer_scores
from r2mae.modalities.language.question_files import read_questions
from r2mae.recipe.assembly import open_training_data
from r2mae.recipe.run import load_run
from r2mae.training.objective import AnswerSpan
from tests.conftest import make_texts
from tests.modalities.cell.test_cli import refused, said
from tests.modalities.language.interrupted import check_continues
from tests.modalities.language.test_cli import RECIPE, SHAPE, SMALL, TUNE, settings
from tests.modalities.language.test_question_files import (
    FILLER,
    NAMES,
    PLACES,
    make_squad,
    squad_of,
)

RUN = "runs/answers/labels_all/seed_0"


def answering(*more):
    return settings(
        (
            "data={root: '.', card: text_files, length: 32, held_out: 0.2}",
            f"model={{init_from: runs/run, encoder: modernbert, {SHAPE}}}",
            "batch={global_samples: 16}",
            "optimizer={lr: 1.0e-2}",
            "schedule={steps: 150}",
            "checkpoint={every_steps: 20}",
            "watch={every_steps: 50}",
            "tune={target: answer_span}",
            "repeat={seeds: 1}",
        ),
        *more,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        texts = make_texts(100) + [" ".join(NAMES + PLACES + FILLER)] * 30
        (folder / "texts.txt").write_text("\n".join([*texts, "Who Where is it?"]))
        draw = np.random.default_rng(0)
        for split, count in (("train", 200), ("test", 40)):
            (folder / f"{split}.json").write_text(json.dumps(make_squad(count, draw)))
        short = settings(SMALL, "data.root=texts.txt", "schedule={steps: 5}")
        assert main(["pretrain", str(RECIPE), "--name", "run", *short]) == 0
        assert main(["finetune", str(TUNE), "--name", "answers", *answering()]) == 0
    return folder


def section_of(run, **changes):
    return load_run(run).recipe.data.model_copy(update=changes)


def test_answers_are_learnt_and_predicted(here, capsys, tmp_path):
    words = ("finetune", TUNE, "--name", "answers", *answering())
    result = json.loads(said(capsys, *words, "--against", "runs/answers", "--json"))
    (row,) = result["scores"]
    assert row["exact_match"] > 0.8  # a word of 27 at random: 0.04
    assert row["has_answer_f1"] > 0.8
    assert row["no_answer_f1"] > 0.5
    assert row["against"]["difference"] == 0
    assert "test F1 of answer_span from" in said(capsys, *words)
    out = tmp_path / "answers.json"
    counts = said(capsys, "predict", RUN, "test.json", "-o", out, "--json")
    predicted = json.loads(out.read_text())
    questions = read_questions(None, here / "test.json")
    assert list(predicted) == [question.id for question in questions]
    texts = [[answer.text for answer in question.answers] for question in questions]
    scores = answer_scores(list(predicted.values()), texts)
    assert scores[:, 1].mean() == pytest.approx(row["exact_match"])
    assert json.loads(counts)["no_answer"] == list(predicted.values()).count("") > 0
    assert all(predicted[q.id] in q.context for q in questions)


def test_questions_without_answers_in_a_table_are_predicted(here, capsys, tmp_path):
    context = f"{' '.join(FILLER * 4)} Carl sat on the cat and the dog"
    row = {"id": "a", "question": "Who is it?", "context": context}
    (tmp_path / "asked.jsonl").write_text(json.dumps(row))
    out = tmp_path / "out.json"
    said(capsys, "predict", RUN, tmp_path / "asked.jsonl", "-o", out)
    assert json.loads(out.read_text()) == {"a": "Carl"}


def test_an_interrupted_run_continues_with_the_same_losses(here, capsys):
    check_continues(capsys, AnswerSpan, TUNE, answering("schedule.steps=40"))


@pytest.mark.parametrize("encoder", ["modernbert", "bert", "roberta"])
def test_export_gives_equal_logits(here, capsys, tmp_path, encoder):
    run = RUN
    if encoder != "modernbert":
        model = f"model={{init_from: null, encoder: {encoder}, {SHAPE}}}"
        short = answering(model, "data.tokenizer=runs/run", "schedule.steps=2")
        said(capsys, "finetune", TUNE, "--name", encoder, *short)
        run = f"runs/{encoder}/labels_all/seed_0"
    said(capsys, "export", run, tmp_path / "out", "--to", "transformers")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| outputs | first token, last token |" in card
    assert "pipeline_tag: question-answering" in card
    model = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "out").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    loaded = load_run(run)
    source = loaded.wing.open_split(loaded.recipe, "test")
    sample = int(np.flatnonzero(np.bincount(source.owners) == 1)[0])  # in one window
    window = torch.tensor([int(np.searchsorted(source.owners, sample))])
    question = source.questions[sample]
    batch = source.load(window, None, 0)
    given = tokenizer(question.text, question.context, return_tensors="pt")
    assert given["input_ids"].tolist() == batch["input_ids"].tolist()
    with torch.no_grad():
        ours = loaded.model.eval()(batch)
        out = model(**given)
    theirs = torch.stack([out.start_logits, out.end_logits], dim=2)
    places = batch["is_candidate"]
    torch.testing.assert_close(ours[places], theirs[places], atol=1e-6, rtol=0)
    assert torch.isneginf(ours[~places]).all()
    error = refused(capsys, "export", run, tmp_path / "onnx", "--to", "onnx")
    assert "tune.target must not be answer_span" in error


def test_held_out_contexts_do_not_train(here):
    recipe = load_run(RUN).recipe
    parts = open_training_data(recipe)
    source = root_of(parts[0])
    rows = [part.rows.numpy() for part in parts]
    assert sorted(np.concatenate(rows)) == list(range(len(source)))
    contexts = [
        {source.questions[source.owners[row]].context for row in part} for part in rows
    ]
    assert not contexts[0] & contexts[1]
    assert len(contexts[1]) == 40  # of 200
    with pytest.raises(InputError, match="data.held_out must leave contexts"):
        source.hold_out(0.001)


def test_check_counts_questions(here, capsys):
    printed = said(capsys, "check", TUNE, *answering())
    assert "400 questions on 200 contexts" in printed
    assert refused(capsys, "check", TUNE, *answering("data.stride=18")).endswith(
        "data.stride must be below 18 for a data.length of 32, got 18. "
        "Lower it or raise data.length."
    )


def write_split(folder, questions):
    """train.json and test.json, each question with a context of its own."""
    paragraphs = [
        squad_of(f"{n} the cat sat", **{"id": str(n)} | changes)["data"][0]["paragraphs"][0]
        for n, changes in enumerate(questions)
    ]  # fmt: skip
    text = json.dumps({"data": [{"paragraphs": paragraphs}]})
    for split in ("train", "test"):
        (folder / f"{split}.json").write_text(text)


def answers_at(start, text="cat"):
    return {"answers": [{"text": text, "answer_start": start}]}


def test_answers_elsewhere_are_left_out_and_counted(here, capsys, tmp_path):
    write_split(tmp_path, [answers_at(6)] * 8 + [answers_at(2), answers_at(5, " ")])
    settings = answering(f"data.root={tmp_path}")
    printed = said(capsys, "check", TUNE, *settings)
    assert "8 questions on 8 contexts" in printed
    assert "left out: 2 bad rows" in printed
    assert "question 8 must have 'cat' at its answer_start, got 'the'" in printed
    assert "10 questions on 10 contexts" in printed  # all of the test split


@pytest.mark.parametrize(
    ("questions", "words"),
    [
        (
            [answers_at(7)] * 5 + [answers_at(6)] * 4,
            "train.json must be right in at least half of 9 rows, got 5 bad rows: ",
        ),
        (  # of those with an answer
            [answers_at(7)] * 2 + [answers_at(6)] + [{"answers": []}] * 6,
            "train.json must be right in at least half of 3 rows, got 2 bad rows: ",
        ),
        ([{"answers": []}] * 8, "got no answers."),
        ([{"answers": "no"}] * 8, "question 0 must have the key 'answers', got none"),
        ([answers_at(6) | {"id": "x"}] * 8, "ids must differ, got 'x' twice"),
    ],
)
def test_unusable_questions_end_with_code_2(here, capsys, tmp_path, questions, words):
    write_split(tmp_path, questions)
    data = f"data.root={tmp_path}"
    assert words in refused(capsys, "finetune", TUNE, "--name", "x", *answering(data))


def test_other_data_and_options_are_refused(here, capsys, tmp_path):
    slow = answering("data.tokenizer=slow")
    with pytest.MonkeyPatch.context() as patch:
        import transformers

        tokenizer = load_tokenizer(section_of(RUN).tokenizer)
        patch.setattr(type(tokenizer), "is_fast", False)
        patch.setattr(
            transformers.AutoTokenizer, "from_pretrained", lambda source: tokenizer
        )
        Path("slow").mkdir(exist_ok=True)
        assert "must be a fast one" in refused(capsys, "finetune", TUNE, *slow)
    (tmp_path / "empty").mkdir()
    none = answering(f"data.root={tmp_path / 'empty'}")
    assert "must hold train.* or train-[0-9]*" in refused(
        capsys, "finetune", TUNE, *none
    )
    table = refused(capsys, "predict", RUN, "test", "-o", tmp_path / "a.csv")
    assert "--output must be a .json file for this run" in table
    given = ("predict", RUN, "test.json", "-o", tmp_path / "a.json")
    assert "must be left out" in refused(capsys, *given, "--long-texts", "windows")
    hidden = answering("tune={target: answer_span, hidden: 8}")
    assert "tune.hidden must be null" in refused(
        capsys, "finetune", TUNE, "--name", "hidden", *hidden
    )
