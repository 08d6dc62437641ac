"""Entity scores: seqeval's published examples, and tags that break the scheme."""

import numpy as np
import pytest

from r2mae.evaluation.token_tags import (
    compare,
    entities,
    is_tag,
    score,
    sentence_counts,
    summarize,
)

# The example of seqeval's README: F1 0.50, accuracy 0.80.
TRUE = [
    ["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"],
    ["B-PER", "I-PER", "O"],
]
PREDICTED = [
    ["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"],
    ["B-PER", "I-PER", "O"],
]


def test_published_example():
    scores = score(sentence_counts(PREDICTED, TRUE), sentence_counts(TRUE, TRUE))
    expected = {"f1": 0.5, "precision": 0.5, "recall": 0.5, "token_accuracy": 0.8}
    assert scores == pytest.approx(expected)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-PER I-PER O B-LOC", {("PER", 0, 1), ("LOC", 3, 3)}),
        ("I-PER I-PER", {("PER", 0, 1)}),
        ("B-PER I-LOC", {("PER", 0, 0), ("LOC", 1, 1)}),
        ("B-PER B-PER", {("PER", 0, 0), ("PER", 1, 1)}),
        ("S-PER I-PER E-PER I-PER", {("PER", 0, 0), ("PER", 1, 2), ("PER", 3, 3)}),
        ("B I O", {("_", 0, 1)}),
        ("O", set()),
    ],
)
def test_entities_as_seqeval_finds_them(tags, expected):
    assert entities(tags.split()) == expected


def test_intervals_and_paired_differences():
    predicted, perfect = sentence_counts(PREDICTED, TRUE), sentence_counts(TRUE, TRUE)
    ours, truth = np.tile(predicted, (20, 1)), np.tile(perfect, (20, 1))
    score = summarize([ours], truth)
    assert score["f1"] == 0.5
    assert 0.1 < score["half_width"] < 0.2  # 1.96 * sqrt(0.25 / 40)
    assert summarize([truth], truth)["half_width"] is None
    assert compare([truth], [ours], truth)["difference"] == 0.5
    assert compare([ours], [ours], truth) == {"difference": 0, "half_width": None}


def test_no_entity_scores_zero():
    nothing = sentence_counts([["O"]], [["O"]])
    assert score(nothing, nothing)["f1"] == 0


def test_tags():
    assert all(map(is_tag, ("O", "B", "B-PER", "I-a-b")))
    assert not any(map(is_tag, ("", "B-", "PER", "NOUN", "OO", 3, None)))
