"""Exact match and F1 of a model that finds answers to questions as spans of their contexts.

Q questions, B windows of contexts, N tokens of a window. Scores are between 0 and 1.
"""

import re
import string
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor, nn

from r2mae.data.source import Batch, SampleSource, root_of
from r2mae.errors import InputError
from r2mae.evaluation.classification import over_seeds
from r2mae.evaluation.shared_batches import map_batches
from r2mae.metrics.interval import (
    paired_bootstrap,
    repeated_bootstrap,
    share_interval,
)

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
MOST_TOKENS = 30  # of an answer, as in BERT and transformers
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower case, without punctuation, articles and further white space.

    Source: `normalize_answer` of SQuAD's evaluation scripts.
    """
    bare = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def answer_f1(predicted: str, true: str) -> float:
    """F1 of the words of two normalised answers; of an empty one, whether both are.

    Source: `compute_f1` of SQuAD 2.0's evaluation script.
    """
    ours, theirs = predicted.split(), true.split()
    if not ours or not theirs:
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs))


def answer_scores(
    predicted: Sequence[str], expected: Sequence[Sequence[str]]
) -> Floats:
    """(Q, 2) F1 and exact match of each question, the best over its true answers.

    expected: true answers of each question, none where the context has no answer. Those
    of which normalisation leaves nothing are left out.

    Source: SQuAD 2.0's evaluation script.
    """
    scores = np.zeros((len(predicted), 2))
    for number, (text, answers) in enumerate(zip(predicted, expected, strict=True)):
        ours = normalize_answer(text)
        normalized = [normalize_answer(answer) for answer in answers]
        truths = [answer for answer in normalized if answer] or [""]
        best = max(answer_f1(ours, truth) for truth in truths)
        scores[number] = best, ours in truths
    return scores


def score(predicted: Floats, expected: Floats) -> dict[str, float]:
    """Means over questions; F1 of those with and without an answer, where there are both.

    predicted: (Q, 2) of `answer_scores`. expected: (Q, 2) of `question_facts`.
    """
    f1, exact_match = predicted.mean(axis=0).tolist()
    scores = {"f1": f1, "exact_match": exact_match}
    has_answer = expected[:, 0] > 0
    if has_answer.any() and not has_answer.all():
        scores["has_answer_f1"] = float(predicted[has_answer, 0].mean())
        scores["no_answer_f1"] = float(predicted[~has_answer, 0].mean())
    return scores


def summarize(predictions: list[Floats], expected: Floats) -> dict[str, Any]:
    """Scores of `answer_scores`, an array (Q, 2) for each seed, with half-widths of 95 % intervals.

    half_width: of F1, over test questions and seeds; None where all predictions are right.
    """
    scores = [score(predicted, expected) for predicted in predictions]
    hits = np.stack(predictions)[:, :, 1]
    return {
        **over_seeds(scores),
        "half_width": repeated_bootstrap(_mean_f1, predictions, expected),
        "exact_match_half_width": share_interval(hits)[1],
    }


def compare(
    ours: list[Floats], theirs: list[Floats], expected: Floats
) -> dict[str, float | None]:
    """{difference, half_width} of F1, ours - theirs, paired by seed and by question."""
    return paired_bootstrap(_mean_f1, ours, theirs, expected)


def _mean_f1(scores: Floats, _: Floats) -> float:
    return float(scores[:, 0].mean())


def require_questions(source: SampleSource) -> Any:
    """The source behind a source whose samples are windows of contexts of questions.

    Raises: InputError for another one.
    """
    root: Any = root_of(source)
    if not hasattr(root, "questions"):
        raise InputError(
            "tune.target must not be answer_span for data without questions. "
            "Leave it out for classes."
        )
    return root


def has_unanswerable(source: Any) -> bool:
    """Whether the context of a question of a source has no answer to it."""
    return any(not question.answers for question in source.questions)


def true_answers(source: Any) -> list[list[str]]:
    """Texts of the answers to each question of a source."""
    return [[one.text for one in question.answers] for question in source.questions]


def question_facts(source: Any) -> Floats:
    """(Q, 2) whether each question has an answer, and a checksum of question and answers."""
    facts = [
        (bool(question.answers), zlib.crc32(repr(question).encode()))
        for question in source.questions
    ]
    return np.array(facts, dtype=np.float64)


def best_spans(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(first (B,), last (B,), score (B,)) of the likeliest spans of at most `MOST_TOKENS` tokens.

    logits: (B, N, 2) of a `SpanClassifier`. The score is the sum of the two logits; -inf
    for a window without candidates. The first token, which stands for no answer, is left out.

    Differs: transformers pairs the 20 likeliest first and last tokens; here all pairs are.
    """
    firsts, lasts = logits[:, 1:].unbind(dim=2)
    padded = F.pad(lasts, (0, MOST_TOKENS - 1), value=-torch.inf)
    scores = firsts[:, :, None] + padded.unfold(1, MOST_TOKENS, 1)
    best, places = scores.flatten(1).max(dim=1)
    first = places // MOST_TOKENS + 1
    return first, first + places % MOST_TOKENS, best


def predict_answers(
    model: nn.Module,
    source: Any,
    *,
    may_be_empty: bool,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """The likeliest answer (Q,) to each question of a source, over all windows of its context.

    may_be_empty: answer "" where no answer is likelier than every span, in all windows.

    Source: `postprocess_qa_predictions` of transformers' examples, with a threshold of 0.
    """

    def answer(batch: Batch) -> tuple[Integers, Floats]:
        logits = model(batch).double()
        first, last, best = best_spans(logits)
        ends = torch.stack([first, last], dim=1)
        scores = torch.stack([best, logits[:, 0].sum(dim=1)], dim=1)
        return ends.cpu().numpy(), scores.cpu().numpy()

    spans, scores = zip(*map_batches(model, source, answer, progress), strict=True)
    places, (best, nothing) = np.concatenate(spans), np.concatenate(scores).T
    starts = np.searchsorted(source.owners, np.arange(len(source.questions)))
    answers = []
    for begin, end in zip(starts, [*starts[1:], len(best)], strict=True):
        window = int(begin + best[begin:end].argmax())
        is_empty = may_be_empty and nothing[begin:end].min() > best[window]
        if is_empty or np.isneginf(best[window]):
            answers.append("")
        else:
            answers.append(source.answer(window, *places[window].tolist()))
    return answers
