"""Questions whose answers are spans of a context, read in overlapping windows of it.

Q questions, W windows of their contexts. A row is [CLS] question [SEP] context [SEP].
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from r2mae.data.bad_rows import BadRows
from r2mae.data.fingerprint import fingerprint_bytes, fingerprint_files
from r2mae.data.source import HELD_OUT_KEY, Batch, Chosen
from r2mae.data.stream import permute
from r2mae.data.tokenizer import tokenizer_fingerprint
from r2mae.errors import InputError
from r2mae.modalities.language.question_files import Question, read_questions
from r2mae.modalities.language.question_windows import (
    Encoded,
    encode_texts,
    place_spans,
    token_span,
    tokenise_windows,
)
from r2mae.modalities.language.rows import Sentences
from r2mae.modalities.language.splits import find_tokenizer
from r2mae.modalities.language.texts import split_files


class Questions(Sentences):
    """A `SampleSource` of windows; "is_candidate" (B, N) of a batch: where an answer may start or end.

    questions: the Q questions; `owners` (W,) has the index of each window's question.
    spans: (W, 2) int64, index in the row of the first and last token of an answer, 0 if
        the window does not hold it; None unless answers are located, for training.
    """

    labels_absent = "answers to questions alone. Score them by r2mae finetune."

    def __init__(
        self,
        questions: list[Question],
        contexts: dict[str, Encoded],
        tokenizer: Any,
        length: int,
        stride: int,
        *,
        spans: list[tuple[int, int] | None] | None,
        where: str,
        content: str,
        note: str = "",
    ) -> None:
        tokens, self.windows = tokenise_windows(
            tokenizer, questions, contexts, length, stride
        )
        key = f"{content}{tokenizer_fingerprint(tokenizer)}{length} {stride}"
        super().__init__(
            tokens,
            np.arange(len(questions)),
            pad=int(tokenizer.pad_token_id),
            fingerprint=fingerprint_bytes(key),
            where=where,
            note=note,
        )
        self.questions = questions
        self._offsets = {text: encoded.offsets for text, encoded in contexts.items()}
        self.spans = None if spans is None else place_spans(spans, self.windows)

    def name(self, index: int) -> str:
        """The file's path and the question's id."""
        return f"{self.where}, question {self.questions[self.owners[index]].id}"

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """As of `Sentences`, with "is_candidate" (B, N): [CLS] and the context's tokens."""
        batch = super().load(indices, positions, seed)
        place = torch.arange(batch["input_ids"].shape[1])
        begins = torch.from_numpy(self.windows.begins)[indices, None]
        sizes = torch.from_numpy(self.windows.sizes)[indices, None]
        is_context = (place >= begins) & (place < begins + sizes)
        return batch | {"is_candidate": is_context | (place == 0)}

    def hold_out(self, share: float) -> tuple[Chosen, Chosen]:
        """Parts without a common context; the second has round(share x contexts) of them.

        Raises: InputError when either part would be empty.
        """
        numbers: dict[str, int] = {}
        for question in self.questions:
            numbers.setdefault(question.context, len(numbers))
        count = len(numbers)
        size = count - round(share * count)
        if not 0 < size < count:
            raise InputError(
                f"data.held_out must leave contexts on both sides of {count}, "
                f"got {share}. Use more data or another fraction."
            )
        held_out = permute(torch.arange(count), count, HELD_OUT_KEY)[size:].numpy()
        contexts = np.array([numbers[one.context] for one in self.questions])
        is_held_out = np.isin(contexts, held_out)[self.owners]
        rows = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
        return Chosen(self, rows[0]), Chosen(self, rows[1])

    def answer(self, index: int, first: int, last: int) -> str:
        """The context from a first to a last place in the row of a sample."""
        context: str = self.questions[self.owners[index]].context
        shift = self.windows.firsts[index] - self.windows.begins[index]
        offsets = self._offsets[context]
        start, stop = int(offsets[first + shift, 0]), int(offsets[last + shift, 1])
        return context[start:stop].strip()


def describe_questions(source: Questions) -> str:
    """Numbers of questions, contexts and windows, and what training leaves out."""
    contexts = len({question.context for question in source.questions})
    text = (
        f"{len(source.questions):,} questions on {contexts:,} contexts, in {len(source):,} "
        f"windows of data.length, {source.tokens.limit} tokens"
    )
    return f"{text}; left out: {source.note}" if source.note else text


def open_questions(section: Any, split: str) -> Questions:
    """Questions of a split, "train" or "test", with answers.

    Those of "train" whose answer is not at its answer_start are left out.

    Raises: InputError when the data is missing or malformed, or has no answers, or more
        than half of them are not where they should be.
    """
    paths = split_files(section, split)
    stamps = tuple((os.path.realpath(path), path.stat().st_mtime_ns) for path in paths)
    return _opened(section, tuple(paths), stamps, split == "train")


@lru_cache(maxsize=4)
def _opened(
    section: Any,
    paths: tuple[Path, ...],
    stamps: Any,  # noqa: ARG001 - read anew when a file changes
    trains: bool,
) -> Questions:
    return open_question_files(section, paths, has_answers=True, trains=trains)


def open_question_files(
    section: Any,
    paths: tuple[Path, ...],
    *,
    has_answers: bool = False,
    trains: bool = False,
) -> Questions:
    """The questions of files.

    has_answers: refuse a question whose answers are not given. trains: locate answers.
    """
    questions = [one for path in paths for one in read_questions(section, path)]
    where = str(paths[0])
    _check_questions(questions, where, has_answers)
    tokenizer, length = find_tokenizer(section), section.length
    stride = length // 3 if section.stride is None else section.stride
    most = length - length // 3 - 4  # of a context, beside the longest question
    if stride >= most:
        raise InputError(
            f"data.stride must be below {most} for a data.length of {length}, got {stride}. "
            "Lower it or raise data.length."
        )
    texts = list(dict.fromkeys(question.context for question in questions))
    contexts = dict(zip(texts, encode_texts(tokenizer, texts), strict=True))
    spans, left_out = None, BadRows(skip=True)
    if trains:
        questions, spans = _locate(questions, contexts, where, left_out)
    return Questions(
        questions,
        contexts,
        tokenizer,
        length,
        stride,
        spans=spans,
        where=where,
        content="".join(fingerprint_files(path.parent, [path]) for path in paths),
        note=left_out.note,
    )


def _check_questions(questions: list[Question], where: str, has_answers: bool) -> None:
    seen = set()
    for question in questions:
        if question.id in seen:
            raise InputError(
                f"{where}: ids must differ, got {question.id!r} twice. Correct one."
            )
        seen.add(question.id)
        if has_answers and question.answers is None:
            raise InputError(
                f"{where}: question {question.id} must have the key 'answers', got none."
            )


def _locate(
    questions: list[Question],
    contexts: dict[str, Encoded],
    where: str,
    left_out: BadRows,
) -> tuple[list[Question], list[tuple[int, int] | None]]:
    """(questions, first and last token of each one's answer), without those not found."""
    kept, spans = [], []
    for number, question in enumerate(questions):
        answers, context = question.answers or (), question.context
        located = [token_span(one, context, contexts[context]) for one in answers]
        span = next((one for one in located if one is not None), None)
        if answers and span is None:
            got = context[answers[0].start :][: len(answers[0].text)]
            rule = f"have {answers[0].text!r:.40} at its answer_start, got {got!r:.40}"
            left_out.reject(number, f"{where}: question {question.id} must {rule}.")
        else:
            kept.append(question)
            spans.append(span)
    left_out.check_few(sum(bool(one.answers) for one in questions), where)
    if not any(spans):
        raise InputError(
            f"{where} must have answers that are spans of their contexts, got no answers."
        )
    return kept, spans
