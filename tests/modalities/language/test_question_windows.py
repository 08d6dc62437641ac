"""Windows of contexts against transformers' own, and the tokens of answers."""

import copy
import json

import numpy as np
import pytest
import torch

from r2mae.data.tokenizer import load_tokenizer
from r2mae.data.tokenizer_training import train_tokenizer
from r2mae.modalities.language.question_files import Answer
from r2mae.modalities.language.question_windows import (
    encode_texts,
    token_span,
    tokenise_windows,
)
from r2mae.modalities.language.questions import open_question_files
from tests.conftest import make_texts
from tests.modalities.language.test_question_files import PLAIN, QUESTIONS, make_squad


@pytest.fixture(scope="module", params=["bpe", "wordpiece"])
def opened(request, tmp_path_factory):
    """(source of 200 questions, its tokenizer)."""
    folder = tmp_path_factory.mktemp("windows")
    texts = make_texts(50) + [*QUESTIONS] * 20
    train_tokenizer(texts, request.param, 400).save_pretrained(folder / "tok")
    document = make_squad(100, np.random.default_rng(0))
    (folder / "a.json").write_text(json.dumps(document))
    changes = {"tokenizer": str(folder / "tok"), "length": 32, "stride": 7}
    section = PLAIN.model_copy(update=changes)
    source = open_question_files(section, (folder / "a.json",), trains=True)
    # A copy: transformers leaves its truncation in the tokenizer.
    return source, copy.deepcopy(load_tokenizer(section.tokenizer))


def test_windows_are_those_of_transformers(opened):
    source, tokenizer = opened
    questions = source.questions[:50]
    given = tokenizer(
        [question.text for question in questions],
        [question.context for question in questions],
        truncation="only_second",
        max_length=32,
        stride=7,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    assert len(given["input_ids"]) > 60
    for number, ids in enumerate(given["input_ids"]):
        row = source.load(torch.tensor([number]), None, 0)
        assert row["input_ids"][0].tolist() == ids
        sides = given.sequence_ids(number)
        is_context = [side == 1 for side in sides]
        assert row["is_candidate"][0, 1:].tolist() == is_context[1:]
        places = np.flatnonzero(is_context)
        start, end = (
            given["offset_mapping"][number][p] for p in (places[0], places[-1])
        )
        context = questions[source.owners[number]].context
        expected = context[start[0] : end[1]].strip()
        assert source.answer(number, places[0], places[-1]) == expected


def test_targets_are_answers_or_the_first_token(opened):
    source, _ = opened
    num_held = np.zeros(len(source.questions))
    for window, (first, last) in enumerate(source.spans.tolist()):
        answers = source.questions[source.owners[window]].answers
        if first == 0:
            assert last == 0
            continue
        assert source.answer(window, first, last) == answers[0].text
        num_held[source.owners[window]] += 1
    has_answer = [bool(question.answers) for question in source.questions]
    assert (num_held > 0).tolist() == has_answer
    assert num_held.max() > 1  # in what two windows share


def test_long_questions_are_cut(opened):
    source, tokenizer = opened
    tokenizer.backend_tokenizer.no_truncation()
    (question,) = encode_texts(tokenizer, ["Who is it? " * 20])
    asked = [source.questions[0]._replace(text="Who is it? " * 20)]
    contexts = {asked[0].context: encode_texts(tokenizer, [asked[0].context])[0]}
    tokens, windows = tokenise_windows(tokenizer, asked, contexts, 32, 7)
    assert tokens.ids[1:11].tolist() == question.ids[:10].tolist()
    assert set(windows.begins) == {12}
    assert np.diff(tokens.starts).max() == 32


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer("cat", 4), " cat"),
        (Answer("the cat", 0), "the cat"),
        (Answer("a", 5), " cat"),  # the whole token
        (Answer("cat", 5), None),
        (Answer("cat", -7), None),
        (Answer("sat.", 8), None),
        (Answer(" ", 3), None),
        (Answer("", 4), None),
    ],
)
def test_tokens_of_an_answer(answer, expected):
    text = "the cat sat"
    tokenizer = train_tokenizer([text] * 20, "bpe", 300)
    (encoded,) = encode_texts(tokenizer, [text])
    span = token_span(answer, text, encoded)
    if expected is None:
        assert span is None
    else:
        ids = encoded.ids[span[0] : span[1] + 1]
        assert tokenizer.decode(ids) == expected
