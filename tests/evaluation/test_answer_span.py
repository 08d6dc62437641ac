"""SQuAD's scores against torchmetrics and its definition; the best spans against all pairs."""

import numpy as np
import pytest
import torch

from r2mae.evaluation.answer_span import (
    MOST_TOKENS,
    answer_f1,
    answer_scores,
    best_spans,
    compare,
    normalize_answer,
    predict_answers,
    score,
    summarize,
)


def test_normalisation():
    text = "  The Theatre's\tan  A-1  answer, the end. "
    assert normalize_answer(text) == "theatres a1 answer end"
    assert normalize_answer("THE.") == ""


def test_scores_agree_with_torchmetrics():
    from torchmetrics.functional.text import squad

    draw = np.random.default_rng(0)
    words = ["the", "A", "cat,", "Cat", "sat", "on", "mat.", "1976", "—", "of of"]

    def text():
        return " ".join(draw.choice(words, draw.integers(1, 6)))

    predicted = [text() for _ in range(300)]
    answers = [[text() for _ in range(draw.integers(1, 4))] for _ in predicted]
    answers[:50] = [[predicted[n].upper(), text()] for n in range(50)]
    # The script leaves out answers of articles alone, which torchmetrics takes.
    answers = [list(filter(normalize_answer, row)) or ["mat"] for row in answers]
    scores = answer_scores(predicted, answers)
    for row, ours, theirs in zip(scores, predicted, answers, strict=True):
        expected = squad(
            {"prediction_text": ours, "id": "0"},
            {"answers": {"text": theirs, "answer_start": [0]}, "id": "0"},
        )
        assert 100 * row[0] == pytest.approx(float(expected["f1"]), rel=1e-5)
        assert 100 * row[1] == float(expected["exact_match"])
    assert 0 < scores[:, 1].mean() < scores[:, 0].mean() < 1


@pytest.mark.parametrize(
    ("predicted", "answers", "f1", "exact"),
    [
        ("in the year 1976", ["1976"], 0.5, 0),  # precision 1 / 3, recall 1
        ("1976", ["in 1976", "1976!"], 1, 1),
        ("", [], 1, 1),
        ("cat", [], 0, 0),
        ("", ["cat"], 0, 0),
        ("", ["the", "cat"], 0, 0),  # an answer of an article alone is none
        ("an", ["the"], 1, 1),
        ("cat cat", ["cat"], 2 / 3, 0),
    ],
)
def test_scores_by_definition(predicted, answers, f1, exact):
    assert answer_scores([predicted], [answers])[0] == pytest.approx([f1, exact])


def test_f1_is_symmetric():
    assert answer_f1("a b c", "b d") == answer_f1("b d", "a b c") == pytest.approx(0.4)


def test_scores_with_and_without_answers():
    scores = np.array([[1.0, 1], [0.5, 0], [0, 0], [0, 0]])
    facts = np.array([[1.0, 11], [1, 12], [0, 13], [0, 14]])
    expected = {"f1": 0.375, "exact_match": 0.25}
    both = {"has_answer_f1": 0.75, "no_answer_f1": 0}
    assert score(scores, facts) == expected | both
    assert "no_answer_f1" not in score(scores[:2], facts[:2])


def test_intervals_and_paired_differences():
    scores = np.tile(np.array([[1.0, 1], [0, 0]]), (50, 1))
    facts = np.ones((100, 2))
    score = summarize([scores, scores], facts)
    assert (score["f1"], score["exact_match"], score["seeds"]) == (0.5, 0.5, [0.5, 0.5])
    assert score["half_width"] == pytest.approx(1.96 * 0.05, rel=0.15)
    assert score["exact_match_half_width"] == pytest.approx(1.96 * 0.05, rel=0.15)
    assert "no_answer_f1" not in score
    better = compare([np.ones_like(scores)], [scores], facts)
    assert better["difference"] == 0.5
    assert better["half_width"] == pytest.approx(1.96 * 0.05, rel=0.15)
    assert compare([scores], [scores], facts) == {"difference": 0, "half_width": None}


def test_best_spans_are_those_of_all_valid_pairs():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(20, 50, 2, generator=draw)
    is_candidate = torch.rand(20, 50, generator=draw) < 0.8
    logits[~is_candidate] = -torch.inf
    logits[:, 0] = 100  # no answer, which is no span
    logits[0, 2, 0] = logits[0, 45, 1] = 50  # too far apart to be one answer
    logits[1, 1:] = -torch.inf
    first, last, scores = best_spans(logits)
    for row in (0, *range(2, 20)):
        pairs = {
            (i, j): float(logits[row, i, 0] + logits[row, j, 1])
            for i in range(1, 50)
            for j in range(i, min(i + MOST_TOKENS, 50))
        }
        best = max(pairs, key=pairs.get)
        assert (int(first[row]), int(last[row])) == best
        assert float(scores[row]) == pairs[best]
    assert scores[1] == -torch.inf


class Windows:
    """Three questions of 2, 1 and 2 windows; an answer names its window and places."""

    questions = ("a", "b", "c")
    owners = np.array([0, 0, 1, 2, 2])

    def __init__(self, logits):
        self.logits = logits

    def __len__(self):
        return len(self.owners)

    def load(self, indices, positions, seed):
        return {"logits": self.logits[indices]}

    def answer(self, window, first, last):
        return f"{window}: {first} to {last}"


class Given(torch.nn.Linear):
    """The logits of a batch."""

    def forward(self, batch):
        return batch["logits"]


@pytest.mark.parametrize("may_be_empty", [False, True])
def test_answers_are_chosen_over_windows(may_be_empty):
    logits = torch.zeros(5, 4, 2)
    logits[0, 1, 0] = logits[0, 2, 1] = 3.0
    logits[1, 3] = 4.0  # the better window of the first question
    logits[0, 0] = 9.0  # where the other one has no answer
    logits[2, 0] = 1.0  # likelier than each span of the second question
    logits[3:] = -torch.inf
    logits[3:, 0] = 0.0  # contexts without a token
    answers = predict_answers(Given(1, 1), Windows(logits), may_be_empty=may_be_empty)
    second = "" if may_be_empty else "2: 1 to 1"
    assert answers == ["1: 3 to 3", second, ""]
