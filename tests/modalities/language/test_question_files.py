"""SQuAD's files and tables of the same content; what is malformed is named."""

import json

import numpy as np
import pandas as pd
import pytest

from r2mae.errors import InputError
from r2mae.modalities.language.question_files import read_questions
from r2mae.modalities.language.schema import SentenceData

NAMES = ["Anna", "Bella", "Carl", "Dora"]
PLACES = ["Paris", "Rome", "Oslo", "Bern"]
FILLER = ["the", "cat", "sat", "on", "the", "mat", "and", "the", "dog", "slept"]
QUESTIONS = {"Who is it?": NAMES, "Where is it?": PLACES}


def make_squad(count, draw):
    """Contexts with a name and a place, mostly longer than a row; some lack the place."""
    paragraphs = []
    for number in range(count):
        words = list(draw.choice(FILLER, draw.integers(10, 40)))
        words.insert(draw.integers(len(words)), str(draw.choice(NAMES)))
        if number % 4:
            words.insert(draw.integers(len(words)), str(draw.choice(PLACES)))
        context, asked = " ".join(words), []
        for question, possible in QUESTIONS.items():
            answers = [word for word in words if word in possible]
            answers = [{"text": a, "answer_start": context.index(a)} for a in answers]
            asked.append({"id": f"{number} {question}", "question": question,
                          "answers": answers, "is_impossible": not answers})  # fmt: skip
        paragraphs.append({"context": context, "qas": asked})
    return {"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}


def squad_of(context="the cat sat", **changes):
    asked = {"id": "a", "question": "Who?"}
    asked["answers"] = [{"text": "cat", "answer_start": 4}]
    asked = {key: value for key, value in (asked | changes).items() if value != "no"}
    return {"data": [{"paragraphs": [{"context": context, "qas": [asked]}]}]}


PLAIN = SentenceData(held_out=0.1)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "must have the key 'data', got \\[\\]"),
        ({"data": {}}, "data must be a list, got {}"),
        ({"data": []}, "must hold questions, got none"),
        ({"data": [{"title": ""}]}, "data\\[0\\] must have the key 'paragraphs', got title"),
        (squad_of(context=3), "paragraphs\\[0\\]: context must be a text, got 3"),
        (squad_of(context="\ud800"), "context must be a text"),
        (squad_of(id="no"), "qas\\[0\\] must have the key 'id', got question, answers"),
        (squad_of(id=5), "qas\\[0\\]: id must be a text, got 5"),
        (squad_of(question=None), "id a: question must be a text, got None"),
        (squad_of(answers="cat"), "id a: answers must be a list, got 'cat'"),
        (squad_of(answers=["cat"]), "answers must have the key 'text', got 'cat'"),
        (squad_of(answers=[{"text": "cat"}]), "must have the key 'answer_start'"),
        (squad_of(answers=[{"text": "cat", "answer_start": "4"}]), "a whole number"),
        (squad_of(answers={"text": ["cat"], "answer_start": []}), "0 for 1 texts"),
        (squad_of(is_impossible="yes"), "is_impossible must be true or false"),
    ],
)  # fmt: skip
def test_malformed_documents_are_named(scratch, document, words):
    (scratch / "a.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=words) as error:
        read_questions(PLAIN, scratch / "a.json")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "", "must hold questions, got an empty file"),
        ("a.json", '{"data": [', "must be JSON as SQuAD has it"),
        ("a.json", b"\xff", "must be UTF-8"),
        ("a.jsonl", "", "must hold questions, got an empty file"),
        ("a.jsonl", '{"id": "a", "question": "b"}', "must have the column 'context'"),
        ("a.csv", "id,question,context\n", "must be a .json file as SQuAD has it"),
        ("a.txt", "x", "must be a .json file as SQuAD has it"),
    ],
)
def test_malformed_files_are_named(scratch, name, text, words):
    path = scratch / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=words):
        read_questions(PLAIN, path)
    with pytest.raises(InputError, match="must be a file, got none"):
        read_questions(PLAIN, scratch / "b.json")


def test_tables_hold_the_questions_of_files(scratch):
    document = make_squad(20, np.random.default_rng(0))
    (scratch / "a.json").write_text(json.dumps(document))
    expected = read_questions(PLAIN, scratch / "a.json")
    assert len(expected) == 40
    assert sum(not question.answers for question in expected) == 5
    rows = [
        {
            "key": "x",
            "id": one.id,
            "asked": one.text,
            "passage": one.context,
            "spans": {
                "text": [answer.text for answer in one.answers],
                "answer_start": [answer.start for answer in one.answers],
            },
        }
        for one in expected
    ]
    pd.DataFrame(rows).to_parquet(scratch / "a.parquet")
    (scratch / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    names = {"columns": ("asked", "passage"), "label_column": "spans"}
    section = PLAIN.model_copy(update=names)
    assert read_questions(section, scratch / "a.parquet") == expected
    assert read_questions(section, scratch / "a.jsonl") == expected
