"""The labels of a fine-tuning recipe: its classes, their order and weights, and the samples that have them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.data.labels import natural
from r2mae.data.source import Chosen, SampleSource, with_labels
from r2mae.errors import InputError, did_you_mean
from r2mae.evaluation.answer_span import require_questions
from r2mae.evaluation.features import check_classes, require_labels
from r2mae.evaluation.multi_label import check_labels, label_names
from r2mae.evaluation.regression import require_targets
from r2mae.evaluation.token_tags import OUTSIDE, tag_names
from r2mae.metrics.few_label import few_label_draws
from r2mae.recipe.assembly import open_split, open_training_data
from r2mae.schema.finetune import FinetuneRecipe
from r2mae.schema.recipe import AnyRecipe


def check_table(recipe: FinetuneRecipe[Any, Any]) -> None:
    """Check everything that could fail in a later run, before the first run starts.

    Raises: InputError for missing labels or numbers, fewer labels than labels_per_class, or test classes that
    training lacks.
    """
    split = open_split(recipe, "train")
    more: tuple[str, ...] = getattr(recipe.data, "more_tests", ())
    for test in (open_split(recipe, name) for name in ("test", *more)):
        if recipe.tune.token_tags:
            _check_entities(test)
        elif recipe.tune.answer_span:
            require_questions(test)
        elif recipe.tune.regression:
            require_targets(test)
        elif recipe.tune.multi_label:
            _check_test_labels(find_labels(recipe, split), label_names(test))
        else:
            check_classes(with_labels(split), with_labels(test))
    if recipe.tune.regression:
        require_targets(split)
    if recipe.tune.token_tags:
        find_tags(recipe, split)
    if recipe.tune.target not in ("class", "ordinal"):
        return
    classes = find_classes(recipe, split)
    if "f1" in recipe.repeat.metrics and len(classes) != 2:
        raise InputError(
            "repeat.metrics must not have f1, which is of the second of two classes, for "
            f"{len(classes)} classes. Use macro_f1."
        )
    train = open_labelled(recipe)[0]
    for count in recipe.repeat.labels_per_class:
        repeat = recipe.repeat.model_copy(update={"labels_per_class": (count,)})
        choose_labelled(recipe.model_copy(update={"repeat": repeat}), train)


def _check_entities(test: SampleSource) -> None:
    """Raise InputError for a test split without tags, or in which all are O."""
    if tag_names(test) == [OUTSIDE]:
        raise InputError(
            "the test split must hold entities, by which it is scored, got only the tag "
            f"{OUTSIDE}. Use other data."
        )


def _check_test_labels(trained: list[str], tested: list[str]) -> None:
    """Raise InputError for a test split without labels, or with some that training has not."""
    if not tested:
        raise InputError(
            "the test split must hold labels, by which it is scored, got none in any "
            "sample. Use other data."
        )
    check_labels(trained, tested)


def open_labelled(recipe: AnyRecipe) -> tuple[SampleSource, SampleSource]:
    """(samples that train, samples held out) that have labels."""
    train, held_out = open_training_data(recipe)
    return with_labels(train), with_labels(held_out)


def num_outputs(recipe: FinetuneRecipe[Any, Any], split: SampleSource) -> int:
    """Classes or labels of a training split; 1 for regression, 2 for spans of answers."""
    if recipe.tune.regression:
        return 1
    if recipe.tune.answer_span:
        return 2
    if recipe.tune.token_tags:
        return len(find_tags(recipe, split))
    find = find_labels if recipe.tune.multi_label else find_classes
    return len(find(recipe, split))


def find_tags(recipe: FinetuneRecipe[Any, Any], split: SampleSource) -> list[str]:
    """Names (C,) of the tags of words in a training split.

    Raises: InputError without tags, with one alone, or when the recipe's num_classes differs.
    """
    names = tag_names(split)
    if len(names) < 2:
        raise InputError(
            f"data must hold at least 2 tags for tune.token_tags, got only {names[0]}. Use other data."
        )
    _check_count(recipe, len(names))
    return names


def find_labels(recipe: FinetuneRecipe[Any, Any], split: SampleSource) -> list[str]:
    """Names (C,) of the labels of a training split whose samples have any number of them.

    Raises: InputError without labels, or when the recipe's num_classes differs.
    """
    names = label_names(split)
    if not names:
        raise InputError(
            "data must hold labels for tune.multi_label, got none in any sample. "
            "Name another label column."
        )
    _check_count(recipe, len(names))
    return names


def _check_count(recipe: FinetuneRecipe[Any, Any], count: int) -> None:
    expected = recipe.tune.num_classes
    if expected is not None and expected != count:
        raise InputError(
            f"tune.num_classes must be {count}, the classes of the training data, got {expected}. Leave it out."
        )


def find_classes(
    recipe: FinetuneRecipe[Any, Any], split: SampleSource
) -> npt.NDArray[np.int64]:
    """Labels (C,) of a training split; output k of the head is the k-th.

    In the order of tune.ordinal; otherwise sorted by number or by name.

    Raises: InputError without labels, when the recipe's num_classes differs, or its
        order is not one of the classes.
    """
    classes = np.unique(require_labels(with_labels(split)))
    _check_count(recipe, len(classes))
    if recipe.tune.target == "ordinal":
        return _in_order(recipe.tune.ordinal, classes, split.class_names)
    if np.array_equal(classes, np.arange(len(classes))):
        return classes
    names = split.class_names
    return np.array(
        sorted(classes.tolist(), key=lambda label: natural(names[label])),
        dtype=np.int64,
    )


def _in_order(
    order: bool | tuple[str, ...],
    classes: npt.NDArray[np.int64],
    class_names: dict[int, str],
) -> npt.NDArray[np.int64]:
    """Labels (C,) from the lowest to the highest."""
    numbers = {class_names[label]: label for label in classes.tolist()}
    names = sorted(numbers, key=natural)
    if not isinstance(order, tuple):
        if others := [name for name in names if not name.isdecimal()]:
            raise InputError(
                "tune.ordinal must list the classes from the lowest, unless they are "
                f"whole numbers, got true for {', '.join(others[:5])}."
            )
        order = tuple(names)
    if odd := sorted(set(order) ^ set(names)):
        raise InputError(
            f"tune.ordinal must list the classes of the training data, {', '.join(names)}, "
            f"each once, got {', '.join(order)}: check {', '.join(odd)}."
        )
    return np.array([numbers[name] for name in order], dtype=np.int64)


def choose_labelled(
    recipe: FinetuneRecipe[Any, Any], train: SampleSource
) -> SampleSource:
    """All of train, or the recipe's number of labels per class, drawn with its seed.

    Raises: InputError when a class has fewer.
    """
    count = recipe.repeat.labels_per_class[0]
    if count == "all":
        return train
    (rows,) = few_label_draws(
        require_labels(train), count, 1, seed=recipe.seed, class_names=train.class_names
    )
    return Chosen(train, np.sort(rows))


def class_weights(
    setting: str | dict[str, float] | None,
    names: list[str],
    targets: npt.NDArray[np.int64],
) -> Tensor | None:
    """(C,) weights of classes: N / (C x training samples of the class), or as set by name, or None.

    Raises: InputError for names that are no classes.
    """
    if setting is None:
        return None
    if isinstance(setting, str):
        counts = np.bincount(targets, minlength=len(names))
        return torch.from_numpy(
            len(targets) / (len(names) * np.maximum(counts, 1))
        ).float()
    for name in setting:
        if name not in names:
            raise InputError(
                f"tune.class_weights must name classes, got {name!r}. {did_you_mean(name, names)}"
            )
    return torch.tensor([float(setting.get(name, 1.0)) for name in names])
