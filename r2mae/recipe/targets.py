"""What is done for each `tune.target`: labels in; objective, predictions and scores out.

What is known of a target without data, such as its head, is in `r2mae.schema.target`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from r2mae.data.source import SampleSource, root_of, with_labels
from r2mae.errors import InputError
from r2mae.evaluation import (
    answer_span,
    classification,
    multi_label,
    ordinal,
    regression,
    token_tags,
)
from r2mae.evaluation.features import check_classes, require_labels
from r2mae.recipe.assembly import open_split
from r2mae.recipe.labels import (
    choose_labelled,
    class_weights,
    find_classes,
    find_labels,
    find_tags,
    open_labelled,
)
from r2mae.training import objective

Names = list[str]
Built = tuple[Any, dict[str, Any]]  # objective, facts for the checkpoint
Tested = tuple[Any, Any, set[str]]  # predictions, true values, unreadable samples


@dataclass(frozen=True)
class TargetTask:
    """How a target is trained and tested.

    outputs: names of the head's outputs, of a recipe and its training split.
    check_test: raises InputError for a test split that does not fit the training split.
    build: the objective, of a recipe, its training samples, its new model and the names of
        outputs, and facts for the checkpoint.
    predict: of a `LoadedRun`, a test split and a function for progress.
    metrics: module with `score` of one run, `summarize` over seeds, and `compare`.
    """

    outputs: Callable[[Any, SampleSource], Names]
    check_test: Callable[[SampleSource, SampleSource], None]
    build: Callable[[Any, SampleSource, Any, Names], Built]
    predict: Callable[[Any, Any, Any], Tested]
    metrics: Any


def task_of(recipe: Any) -> TargetTask:
    """Of a fine-tuning recipe's target."""
    return TASKS[recipe.tune.target.name]


def check_table(recipe: Any) -> None:
    """Check everything that could fail in a later run, before the first run starts.

    Raises: InputError for missing labels or numbers, fewer labels than labels_per_class, or test classes that
    training lacks.
    """
    split, task = open_split(recipe, "train"), task_of(recipe)
    names = task.outputs(recipe, split)
    for test in recipe.tested_splits:
        task.check_test(split, open_split(recipe, test))
    if not recipe.tune.target.one_class:
        return
    if "f1" in recipe.repeat.metrics and len(names) != 2:
        raise InputError(
            "repeat.metrics must not have f1, which is of the second of two classes, for "
            f"{len(names)} classes. Use macro_f1."
        )
    train = open_labelled(recipe)[0]
    for count in recipe.repeat.labels_per_class:
        repeat = recipe.repeat.model_copy(update={"labels_per_class": (count,)})
        choose_labelled(recipe.model_copy(update={"repeat": repeat}), train)


def _class_names(recipe: Any, split: SampleSource) -> Names:
    return [split.class_names[label] for label in find_classes(recipe, split).tolist()]


def _check_classes(split: SampleSource, test: SampleSource) -> None:
    check_classes(with_labels(split), with_labels(test))


def _classification(
    recipe: Any, train: SampleSource, model: Any, names: Names
) -> Built:
    tune, split = recipe.tune, with_labels(open_split(recipe, "train"))
    classes = find_classes(recipe, split)
    chosen = require_labels(choose_labelled(recipe, train))
    trained = classification.head_numbers(chosen, classes)
    numbers = classification.head_numbers(require_labels(root_of(split)), classes)
    if tune.target.head == "ordered":
        # Thresholds move slowly at the small learning rates of fine-tuning.
        counts = np.bincount(trained, minlength=len(classes)) + 1
        model.head[-1].start_at(torch.from_numpy(counts / counts.sum()))
    weights = class_weights(tune.class_weights, names, trained)
    return objective.Classification(
        torch.from_numpy(numbers), recipe.seed, tune.label_smoothing, weights
    ), {"classes": classes.tolist()}


def _predict_classes(loaded: Any, test: Any, progress: Any) -> Tested:
    predicted, labels, skipped = classification.predict(loaded.model, test, progress)
    expected = classification.truth(test, labels, loaded.manifest["classes"])
    return predicted, expected, skipped


def _check_labels(split: SampleSource, test: SampleSource) -> None:
    tested = multi_label.label_names(test)
    if not tested:
        raise InputError(
            "the test split must hold labels, by which it is scored, got none in any "
            "sample. Use other data."
        )
    multi_label.check_labels(multi_label.label_names(split), tested)


def _multi_label(recipe: Any, train: SampleSource, _: Any, names: Names) -> Built:
    root = root_of(train)
    rows = multi_label.label_matrix(require_labels(root), root.class_names, names)
    return objective.MultiLabel(torch.from_numpy(rows).float(), recipe.seed), {}


def _predict_labels(loaded: Any, test: Any, progress: Any) -> Tested:
    names = loaded.manifest["class_names"]
    return multi_label.predict_labels(loaded.model, test, names, progress)


def _value(_: Any, split: SampleSource) -> Names:
    regression.require_targets(split)
    return ["value"]


def _check_numbers(_: SampleSource, test: SampleSource) -> None:
    _spread(regression.require_targets(test), "the test split")


def _regression(recipe: Any, train: SampleSource, *_: Any) -> Built:
    numbers = regression.require_targets(train).astype(np.float64)
    spread, mean = _spread(numbers, "data"), float(numbers.mean())
    standardized = torch.from_numpy((numbers - mean) / spread).float()
    facts = {"target": {"mean": mean, "spread": spread}}
    return objective.Regression(standardized, recipe.seed), facts


def _spread(numbers: Any, what: str) -> float:
    """Standard deviation of numbers (N,). Raises: InputError where it is 0."""
    if numbers.min() == numbers.max():
        raise InputError(
            f"{what} must hold numbers that differ, got {numbers[0]:g} for all. "
            "Use another label column."
        )
    return float(numbers.astype(np.float64).std())


def _predict_numbers(loaded: Any, test: Any, progress: Any) -> Tested:
    unit = loaded.manifest["target"]
    return *regression.predict_numbers(loaded.model, test, unit, progress), set()


def _check_entities(_: SampleSource, test: SampleSource) -> None:
    if token_tags.tag_names(test) == [token_tags.OUTSIDE]:
        raise InputError(
            "the test split must hold entities, by which it is scored, got only the tag "
            f"{token_tags.OUTSIDE}. Use other data."
        )


def _token_tags(recipe: Any, train: SampleSource, _: Any, names: Names) -> Built:
    tags = token_tags.tag_targets(train, names)
    starts = torch.from_numpy(np.cumsum([0, *map(len, tags)]))
    words = torch.from_numpy(np.concatenate(tags))
    return objective.WordTags(words, starts, recipe.seed), {}


def _predict_tags(loaded: Any, test: Any, progress: Any) -> Tested:
    names, expected = loaded.manifest["class_names"], token_tags.require_tags(test).tags
    tags, _ = token_tags.predict_tags(loaded.model, test, names, progress)
    perfect = token_tags.sentence_counts(expected, expected)
    return token_tags.sentence_counts(tags, expected), perfect, set()


def _span_ends(_: Any, split: SampleSource) -> Names:
    answer_span.require_questions(split)
    return ["first token", "last token"]


def _check_questions(_: SampleSource, test: SampleSource) -> None:
    answer_span.require_questions(test)


def _answer_span(recipe: Any, train: SampleSource, *_: Any) -> Built:
    root = answer_span.require_questions(train)
    spans = objective.AnswerSpan(torch.from_numpy(root.spans), recipe.seed)
    return spans, {"has_unanswerable": answer_span.has_unanswerable(root)}


def _predict_answers(loaded: Any, test: Any, progress: Any) -> Tested:
    may_be_empty = loaded.manifest["has_unanswerable"]
    answers = answer_span.predict_answers(
        loaded.model, test, may_be_empty=may_be_empty, progress=progress
    )
    scores = answer_span.answer_scores(answers, answer_span.true_answers(test))
    return scores, answer_span.question_facts(test), set()


_CLASSES = (_class_names, _check_classes, _classification, _predict_classes)
TASKS = {
    "classes": TargetTask(*_CLASSES, classification),
    "ordinal": TargetTask(*_CLASSES, ordinal),
    "multi_label": TargetTask(
        find_labels, _check_labels, _multi_label, _predict_labels, multi_label
    ),
    "regression": TargetTask(
        _value, _check_numbers, _regression, _predict_numbers, regression
    ),
    "token_tags": TargetTask(
        find_tags, _check_entities, _token_tags, _predict_tags, token_tags
    ),
    "answer_span": TargetTask(
        _span_ends, _check_questions, _answer_span, _predict_answers, answer_span
    ),
}
