"""Questions about contexts: SQuAD's own files, or tables in the layout of `datasets`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from r2mae.data.card import load_card
from r2mae.data.text_files import fault_of_text
from r2mae.data.text_stream import check_text, open_text, suffix_of
from r2mae.data.text_tables import kind_of, read_table, rename, select_column
from r2mae.errors import InputError, first_line

# Columns of tables, unless the recipe names others.
QUESTION, CONTEXT, ANSWERS = "question", "context", "answers"
_KINDS = {str: "a text", list: "a list", int: "a whole number", bool: "true or false"}


class Answer(NamedTuple):
    """A span of a context. start: offset of its first character."""

    text: str
    start: int


class Question(NamedTuple):
    """A question about a context. answers: () if the context has none; None if not known."""

    id: str
    text: str
    context: str
    answers: tuple[Answer, ...] | None


def read_questions(section: Any, path: Path) -> list[Question]:
    """All questions of a file.

    Raises: InputError for a file without questions, and for missing or malformed entries.
    """
    if not path.is_file():
        raise InputError(f"{path} must be a file, got none there. Check the path.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} must hold questions, got an empty file.")
    if suffix_of(path) == ".json":
        questions = list(_read_squad(path))
    elif kind_of(path) not in (None, "csv"):
        questions = list(_read_rows(section, path))
    else:
        raise InputError(
            f"{path} must be a .json file as SQuAD has it, or a .jsonl, .parquet or .arrow "
            f"table, got {path.suffix!r}."
        )
    if not questions:
        raise InputError(f"{path} must hold questions, got none.")
    return questions


def _read_squad(path: Path) -> Iterator[Question]:
    """Questions at data[].paragraphs[].qas[] of versions 1.1 and 2.0."""
    check_text(path)
    try:
        with open_text(path, "utf-8") as file:
            document = json.load(file)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} must be JSON as SQuAD has it, got: {first_line(error)}."
        ) from None
    for number, article in enumerate(_entry(document, "data", list, str(path))):
        where = f"{path}: data[{number}]"
        paragraphs = _entry(article, "paragraphs", list, where)
        for place, paragraph in enumerate(paragraphs):
            at = f"{where}.paragraphs[{place}]"
            context = _entry(paragraph, CONTEXT, str, at)
            for index, given in enumerate(_entry(paragraph, "qas", list, at)):
                yield _question(given, context, f"{at}.qas[{index}]")


def _read_rows(section: Any, path: Path) -> Iterator[Question]:
    """Rows of a table; the recipe may name its columns."""
    text = load_card(section.card).text
    rows = rename(read_table(path, text), text)
    columns = section.columns
    question, context = columns if len(columns) == 2 else (QUESTION, CONTEXT)
    answers = section.label_column or ANSWERS
    for column in ("id", question, context):
        select_column(rows, column, str(path))
    contexts: dict[str, str] = {}  # equal ones are one object
    for number, row in enumerate(rows):
        where = f"{path}: row {number}"
        given = {"id": row["id"], QUESTION: row[question]}
        if row.get(answers) is not None:
            given[ANSWERS] = row[answers]
        text = _entry({CONTEXT: row[context]}, CONTEXT, str, where)
        yield _question(given, contexts.setdefault(text, text), where)


def _question(given: Any, context: str, where: str) -> Question:
    """The question of an object with SQuAD's keys. where: of errors."""
    name = _entry(given, "id", str, where)
    where = f"{where}, id {name}"
    text = _entry(given, QUESTION, str, where)
    answers = _answers(given[ANSWERS], where) if ANSWERS in given else None
    if "is_impossible" in given and _entry(given, "is_impossible", bool, where):
        answers = ()
    return Question(name, text, context, answers)


def _answers(given: Any, where: str) -> tuple[Answer, ...]:
    """Answers of a list of objects, as in SQuAD, or an object of lists, as in `datasets`."""
    where = f"{where}: {ANSWERS}"
    if isinstance(given, dict):
        texts = _entry(given, "text", list, where)
        starts = _entry(given, "answer_start", list, where)
        if len(texts) != len(starts):
            got = f"{len(starts)} for {len(texts)} texts"
            raise InputError(
                f"{where} must have an answer_start for each text, got {got}."
            )
        pairs = zip(texts, starts, strict=True)
        given = [{"text": text, "answer_start": start} for text, start in pairs]
    if not isinstance(given, list):
        raise InputError(f"{where} must be a list, got {given!r:.40}. Correct it.")
    return tuple(
        Answer(_entry(one, "text", str, where), _entry(one, "answer_start", int, where))
        for one in given
    )


def _entry(given: Any, key: str, kind: type, where: str) -> Any:
    """given[key]. Raises: InputError unless it is there and of this kind."""
    if not isinstance(given, dict) or key not in given:
        keys = (
            ", ".join(given) or "none" if isinstance(given, dict) else f"{given!r:.40}"
        )
        raise InputError(f"{where} must have the key {key!r}, got {keys}. Add it.")
    value = given[key]
    if type(value) is not kind or (kind is str and fault_of_text(value)):
        raise InputError(
            f"{where}: {key} must be {_KINDS[kind]}, got {value!r:.40}. Correct it."
        )
    return value
