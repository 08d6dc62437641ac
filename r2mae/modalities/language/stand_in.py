"""Texts of random words and a tokenizer for them, for recipes whose data is missing."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from r2mae.data.stand_in import (
    HELD_OUT,
    TEST_SAMPLES,
    data_settings,
    make_labels,
    num_samples,
)
from r2mae.data.tokenizer import save_tokenizer
from r2mae.data.tokenizer_training import SPECIAL, as_fast_tokenizer
from r2mae.modalities.language.schema import TokenizerTraining
from r2mae.schema.recipe import AnyRecipe
from r2mae.training.run_folder import is_here


def stand_in(recipe: AnyRecipe, folder: Path) -> list[str]:
    """Write texts, and a tokenizer unless the recipe's is here; gives its settings."""
    training = recipe.data.tokenizer
    if not isinstance(training, TokenizerTraining):
        training = TokenizerTraining()
    settings: dict[str, Any] = {"card": "text_files", "held_out": HELD_OUT}
    source = recipe.data.tokenizer or recipe.model.init_from
    if not (isinstance(source, str) and is_here(source)):
        tokenizer = _word_tokenizer(training.vocab_size)
        save_tokenizer(tokenizer, folder / "tokenizer")
        settings["tokenizer"] = str(folder / "tokenizer")
    draw = np.random.default_rng(0)
    if recipe.task == "pretrain":
        documents = _documents(recipe, draw, training.vocab_size)
        (folder / "train.txt").write_text("\n".join(documents) + "\n")
        root = str(folder / "train.txt")
        settings |= {"root": root, "column": "text", "document": "line"}
        return data_settings(settings)
    target = recipe.tune.target.name  # type: ignore[attr-defined]
    settings |= {"root": str(folder)}
    if target in ("token_tags", "answer_span"):
        write = _write_tagged if target == "token_tags" else _write_questions
        write(recipe, draw, training.vocab_size, folder)
        own = {"columns": ["sentence"], "label_column": None, "tag_names": []}
        return data_settings(settings | own)
    for split, count in (("train", num_samples(recipe)), ("test", TEST_SAMPLES)):
        rows = _sentences(recipe, draw, training.vocab_size, count)
        (folder / f"{split}.tsv").write_text("\n".join(rows) + "\n")
    return data_settings(settings | {"label_column": "label"})


def _word(number: int) -> str:
    """Token `number` as text; the mark shows that it does not continue a word."""
    return f"_{number}"


def _text(numbers: Any) -> str:
    return " ".join(map(_word, numbers.tolist()))


def _word_tokenizer(vocab_size: int) -> Any:
    """A fast tokenizer with a token for each word between spaces."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokens = [*SPECIAL.values(), *map(_word, range(len(SPECIAL), vocab_size))]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL["unk"]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return as_fast_tokenizer(tokenizer)


def _documents(recipe: AnyRecipe, draw: Any, vocab_size: int) -> list[str]:
    """Documents that fill the rows of all samples; on average each is as long as a row."""
    rows = num_samples(recipe)
    numbers = draw.integers(len(SPECIAL), vocab_size, rows * recipe.data.length)
    starts = np.unique(draw.integers(1, len(numbers), rows))
    return [_text(part) for part in np.split(numbers, starts)]


def _write_tagged(recipe: AnyRecipe, draw: Any, vocab_size: int, folder: Path) -> None:
    """CoNLL files of words and tags; about half of the sentences are cut."""
    for split, count in (("train", num_samples(recipe)), ("test", TEST_SAMPLES)):
        sentences = []
        for size in draw.integers(1, 2 * recipe.data.length, count).tolist():
            numbers = draw.integers(len(SPECIAL), vocab_size, size).tolist()
            tags = ("O", "B-A", "I-A")
            lines = [f"{_word(n)}\t{tags[k % 3]}\n" for k, n in enumerate(numbers)]
            sentences.append("".join(lines))
        (folder / f"{split}.conll").write_text("\n".join(sentences))


def _write_questions(
    recipe: AnyRecipe, draw: Any, vocab_size: int, folder: Path
) -> None:
    """SQuAD's files, with a question for each context; about half of these exceed a row."""
    for split, count in (("train", num_samples(recipe)), ("test", TEST_SAMPLES)):
        paragraphs = []
        for number, size in enumerate(draw.integers(1, 2 * recipe.data.length, count)):
            context, question = (
                _text(draw.integers(len(SPECIAL), vocab_size, words))
                for words in (size, 4)
            )
            answer = {"text": context.split()[0], "answer_start": 0}
            asked = {"id": str(number), "question": question, "answers": [answer]}
            paragraphs.append({"context": context, "qas": [asked]})
        document = {"data": [{"paragraphs": paragraphs}]}
        (folder / f"{split}.json").write_text(json.dumps(document))


def _sentences(recipe: AnyRecipe, draw: Any, vocab_size: int, count: int) -> list[str]:
    """Rows of a table: texts and a label. Half of the texts are cut to the recipe's length."""
    columns = recipe.data.columns
    rows = ["\t".join((*columns, "label"))]
    for label in make_labels(recipe, count):
        sizes = draw.integers(1, 2 * recipe.data.length, len(columns))
        texts = [_text(draw.integers(len(SPECIAL), vocab_size, size)) for size in sizes]
        rows.append("\t".join((*texts, label)))
    return rows
