"""Tokens of questions and of windows of their contexts, and the tokens of answers.

Q questions, W windows. A row is [CLS] question [SEP] context [SEP].
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from r2mae.data.tokenizer import borders
from r2mae.modalities.language.question_files import Answer, Question
from r2mae.modalities.language.tokenise import Integers, Tokens, separators

_BATCH = 1000  # texts that are tokenised together
_SIDES = np.array([0, 1], dtype=np.int8)  # token types


class Encoded(NamedTuple):
    """Tokens of a text. ids: (T,) int32. offsets: (T, 2) int32, the characters of each."""

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int32]


class Windows(NamedTuple):
    """Windows of contexts.

    owners: (W,) index of the question.
    firsts: (W,) index in the context of the window's first token.
    sizes: (W,) number of the context's tokens in the window.
    begins: (W,) index in the row of the first of these.
    """

    owners: Integers
    firsts: Integers
    sizes: Integers
    begins: Integers


def encode_texts(tokenizer: Any, texts: list[str]) -> list[Encoded]:
    """Tokens of each text, without special tokens."""
    encode = tokenizer.backend_tokenizer.encode_batch
    encoded = []
    for start in range(0, len(texts), _BATCH):
        for one in encode(texts[start : start + _BATCH], add_special_tokens=False):
            offsets = np.array(one.offsets, dtype=np.int32).reshape(-1, 2)
            encoded.append(Encoded(np.array(one.ids, dtype=np.int32), offsets))
    return encoded


def token_span(
    answer: Answer, context: str, encoded: Encoded
) -> tuple[int, int] | None:
    """First and last token of an answer in a context, or None if it is not there."""
    stop = answer.start + len(answer.text)
    is_there = answer.start >= 0 and context[answer.start : stop] == answer.text
    if not is_there or not answer.text.strip():
        return None
    starts, ends = encoded.offsets.T
    first = int(np.searchsorted(ends, answer.start, side="right"))
    last = int(np.searchsorted(starts, stop, side="left")) - 1
    return (first, last) if first <= last else None


def tokenise_windows(
    tokenizer: Any,
    questions: list[Question],
    contexts: dict[str, Encoded],
    length: int,
    stride: int,
) -> tuple[Tokens, Windows]:
    """Rows of all windows of questions' contexts; consecutive ones share `stride` tokens."""
    start, end = borders(tokenizer) or (0, 0)
    middle = separators(tokenizer, end)
    asked = encode_texts(tokenizer, [question.text.strip() for question in questions])
    rows, types, windows, num_long = [], [], [], 0
    for number, (question, own) in enumerate(zip(questions, asked, strict=True)):
        head = np.concatenate(([start], own.ids[: length // 3], middle))
        context = contexts[question.context].ids
        room = length - len(head) - 1
        num_long += len(context) > room
        for first in range(0, max(1, len(context) - stride), room - stride):
            part = context[first : first + room]
            rows.append(np.concatenate((head, part, [end])).astype(np.int32))
            types.append(np.repeat(_SIDES, [len(head), len(part) + 1]))
            windows.append((number, first, len(part), len(head)))
    table = Windows(*np.array(windows, dtype=np.int64).T)
    encoded = [*asked, *contexts.values()]
    unknown = tokenizer.unk_token_id
    tokens = Tokens(
        np.concatenate(rows),
        np.cumsum([0, *map(len, rows)]),
        np.concatenate(types),
        table.owners,
        limit=length,
        num_long=num_long,
        num_tokens=sum(len(one.ids) for one in encoded),
        num_unknown=sum(int(np.sum(one.ids == unknown)) for one in encoded),
    )
    return tokens, table


def place_spans(spans: list[tuple[int, int] | None], windows: Windows) -> Integers:
    """(W, 2) places of answers in rows, 0 where a window does not hold one."""
    tokens = np.array([(-1, -1) if span is None else span for span in spans])
    tokens = tokens[windows.owners] - windows.firsts[:, None]
    is_inside = (tokens >= 0) & (tokens < windows.sizes[:, None])
    is_held = is_inside.all(axis=1, keepdims=True)
    return np.where(is_held, tokens + windows.begins[:, None], 0)
