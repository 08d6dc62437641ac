"""Entity precision, recall and F1, and token accuracy, of a fine-tuned tagger of words.

S sentences, C tags. An entity is right where its type, first and last word are. Only counts
of each sentence are needed: (S, 3) of right entities, predicted entities and right words.
Those of perfect predictions are (S, 3) of entities, entities and words.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from torch import nn

from r2mae.data.source import SampleSource, root_of
from r2mae.errors import InputError
from r2mae.evaluation.classification import over_seeds
from r2mae.evaluation.shared_batches import forward, map_batches
from r2mae.metrics.interval import paired_bootstrap, repeated_bootstrap

Integers = npt.NDArray[np.int64]
OUTSIDE = "O"


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """(type, first word, last word) of the entities in a sentence's tags, such as B-PER, I-PER, O.

    An I without a B before it, or of another type, starts an entity too, as in CoNLL's
    evaluation; E and S end one.

    Source: `get_entities` of seqeval 1.2.2 in its default mode.
    """
    result = set()
    previous, previous_kind, first = OUTSIDE, "", 0
    for place, tag in enumerate((*tags, OUTSIDE)):
        part, kind = tag[0], tag[1:].split("-", maxsplit=1)[-1] or "_"
        differs = kind != previous_kind
        ends = previous in "ES" or (previous in "BI" and part in "BSO")
        if ends or (previous not in "O." and differs):
            result.add((previous_kind, first, place - 1))
        continues = part in "EI" and previous not in "ESO"
        if (
            part in "BS"
            or (part in "EI" and not continues)
            or (part not in "O." and differs)
        ):
            first = place
        previous, previous_kind = part, kind
    return result


def sentence_counts(
    predicted: Sequence[Sequence[str]], expected: Sequence[Sequence[str]]
) -> Integers:
    """(S, 3) counts of predicted tags of words; expected itself gives those of perfect ones."""
    counts = []
    for ours, truth in zip(predicted, expected, strict=True):
        guessed, true = entities(ours), entities(truth)
        right = sum(one == other for one, other in zip(ours, truth, strict=True))
        counts.append((len(guessed & true), len(guessed), right))
    return np.array(counts, dtype=np.int64).reshape(-1, 3)


def score(predicted: Integers, expected: Integers) -> dict[str, float]:
    """Micro F1, precision and recall of entities, and accuracy over words, of counts (S, 3).

    0 where there is no entity to divide by, as seqeval has it.
    """
    right, guessed, words = predicted.sum(axis=0).tolist()
    true, _, num_words = expected.sum(axis=0).tolist()
    return {
        "f1": 2 * right / (guessed + true) if guessed + true else 0.0,
        "precision": right / guessed if guessed else 0.0,
        "recall": right / true if true else 0.0,
        "token_accuracy": words / num_words if num_words else 0.0,
    }


def summarize(predictions: list[Integers], expected: Integers) -> dict[str, Any]:
    """Scores of counts, an array (S, 3) for each seed, with half-widths of 95 % intervals.

    half_width: of F1, over test sentences and seeds; None where all predictions are right.
    """
    scores = [score(predicted, expected) for predicted in predictions]

    def half_width(name: str) -> float | None:
        return repeated_bootstrap(
            lambda *counts: score(*counts)[name], predictions, expected
        )

    return {
        **over_seeds(scores),
        "half_width": half_width("f1"),
        "precision_half_width": half_width("precision"),
        "recall_half_width": half_width("recall"),
        "token_accuracy_half_width": half_width("token_accuracy"),
    }


def compare(
    ours: list[Integers], theirs: list[Integers], expected: Integers
) -> dict[str, float | None]:
    """{difference, half_width} of F1, ours - theirs, paired by seed and by sentence."""
    return paired_bootstrap(
        lambda *counts: score(*counts)["f1"], ours, theirs, expected
    )


def is_tag(tag: Any) -> bool:
    """Whether a tag is O, or B, I, E or S, alone or before a hyphen and a type."""
    if not isinstance(tag, str) or not tag:
        return False
    return tag == OUTSIDE or (
        tag[0] in "BIES" and (len(tag) == 1 or tag[1] == "-" != tag[1:])
    )


def require_tags(source: SampleSource) -> Any:
    """The source behind a source whose samples are sentences of words with tags.

    Raises: InputError for another one.
    """
    root: Any = root_of(source)
    if getattr(root, "tags", None) is None:
        raise InputError(
            "tune.target must not be token_tags for data without tags of words. "
            "Leave it out for classes."
        )
    return root


def tag_names(source: SampleSource) -> list[str]:
    """Tags of a training split, O first, then by type and name."""
    tags = {tag for row in require_tags(source).tags for tag in row}
    return sorted(tags, key=lambda tag: (tag != OUTSIDE, tag[1:], tag))


def tag_targets(source: SampleSource, names: list[str]) -> list[Integers]:
    """The tags of the words that are read, as indices in names; an array for each sentence."""
    root = require_tags(source)
    numbers = {name: number for number, name in enumerate(names)}
    return [
        np.array([numbers[row[word]] for word in read.tolist()], dtype=np.int64)
        for row, read in zip(root.tags, root.read, strict=True)
    ]


def predict_tags(
    model: nn.Module,
    source: Any,
    names: list[str],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[list[str]], list[npt.NDArray[np.float64]]]:
    """(tags, their probabilities) of each word of a source's sentences; O and nan for words not read."""
    logits = map_batches(model, source, partial(forward, model), progress)
    chances = softmax(np.concatenate(logits).astype(np.float64), axis=1)
    bounds = np.cumsum([len(read) for read in source.read])[:-1]
    tags, probabilities = [], []
    for words, read, rows in zip(
        source.words, source.read, np.split(chances, bounds), strict=True
    ):
        row, chance = [OUTSIDE] * len(words), np.full(len(words), np.nan)
        for word, number in zip(read.tolist(), rows.argmax(axis=1), strict=True):
            row[word] = names[number]
        chance[read] = rows.max(axis=1)
        tags.append(row)
        probabilities.append(chance)
    return tags, probabilities
