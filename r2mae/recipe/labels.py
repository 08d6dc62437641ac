"""The labels of a fine-tuning recipe: its classes, their order and weights, and the samples that have them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.data.labels import natural, split_labels
from r2mae.data.source import Chosen, SampleSource, with_labels
from r2mae.errors import InputError, did_you_mean
from r2mae.evaluation.features import require_labels
from r2mae.evaluation.multi_label import label_names
from r2mae.evaluation.token_tags import tag_names
from r2mae.metrics.few_label import few_label_draws
from r2mae.recipe.assembly import open_training_data
from r2mae.schema.finetune import FinetuneRecipe
from r2mae.schema.recipe import AnyRecipe


def open_labelled(recipe: AnyRecipe) -> tuple[SampleSource, SampleSource]:
    """(samples that train, samples held out) that have labels."""
    train, held_out = open_training_data(recipe)
    return with_labels(train), with_labels(held_out)


def with_label_column(recipe: AnyRecipe, column: str | None) -> AnyRecipe:
    """A recipe whose labels are another column; as it is for None, and data without columns."""
    if column is None or not hasattr(recipe.data, "label_column"):
        return recipe
    data = recipe.data.model_copy(update={"label_column": column})
    return recipe.model_copy(update={"data": data})


def find_tags(recipe: FinetuneRecipe[Any, Any], split: SampleSource) -> list[str]:
    """Names (C,) of the tags of words in a training split.

    Raises: InputError without tags, with one alone, or when the recipe's num_classes differs.
    """
    names = tag_names(split)
    if len(names) < 2:
        raise InputError(
            f"data must hold at least 2 tags for tune.target token_tags, got only {names[0]}. Use other data."
        )
    _check_count(recipe, len(names))
    return names


def find_labels(recipe: FinetuneRecipe[Any, Any], split: SampleSource) -> list[str]:
    """Names (C,) of the labels of a training split whose samples have any number of them.

    Raises: InputError without labels, with the same of all samples, or when the recipe's
        num_classes differs.
    """
    names = label_names(split)
    if not names:
        raise InputError(
            "data must hold labels for tune.target multi_label, got none in any sample. "
            "Name another label column."
        )
    numbers = np.unique(require_labels(with_labels(split))).tolist()
    if len({frozenset(split_labels(split.class_names[each])) for each in numbers}) < 2:
        raise InputError(
            "data must hold samples whose labels differ for tune.target multi_label, got "
            f"{', '.join(names[:5])} for all. Name another label column."
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

    In the order of an ordinal target; otherwise sorted by number or by name.

    Raises: InputError without labels, when the recipe's num_classes differs, or its
        order is not one of the classes.
    """
    classes = np.unique(require_labels(with_labels(split)))
    _check_count(recipe, len(classes))
    if recipe.tune.target.name == "ordinal":
        return _in_order(recipe.tune.target.order, classes, split.class_names)
    if np.array_equal(classes, np.arange(len(classes))):
        return classes
    names = split.class_names
    return np.array(
        sorted(classes.tolist(), key=lambda label: natural(names[label])),
        dtype=np.int64,
    )


def _in_order(
    order: tuple[str, ...],
    classes: npt.NDArray[np.int64],
    class_names: dict[int, str],
) -> npt.NDArray[np.int64]:
    """Labels (C,) from the lowest to the highest."""
    numbers = {class_names[label]: label for label in classes.tolist()}
    names = sorted(numbers, key=natural)
    if not order:
        if others := [name for name in names if not name.isdecimal()]:
            raise InputError(
                "tune.target must be {ordinal: {order: [...]}}, the classes from the lowest, "
                f"unless they are whole numbers, got ordinal for {', '.join(others[:5])}."
            )
        order = tuple(names)
    if odd := sorted(set(order) ^ set(names)):
        raise InputError(
            f"tune.target.ordinal.order must list the classes of the training data, {', '.join(names)}, "
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
