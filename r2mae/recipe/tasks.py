"""What each task gives to the engine: model, samples, objective and measurements."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from r2mae.data.source import Chosen, SampleSource, root_of, with_labels
from r2mae.errors import InputError, did_you_mean
from r2mae.evaluation.classification import head_numbers
from r2mae.evaluation.features import check_classes, require_labels
from r2mae.evaluation.regression import require_targets
from r2mae.metrics.few_label import few_label_draws
from r2mae.recipe.assembly import build_model, open_split, open_training_data
from r2mae.recipe.flops import Flops
from r2mae.recipe.plan import Plan
from r2mae.schema.finetune import FinetuneRecipe
from r2mae.schema.pretrain import PretrainRecipe
from r2mae.schema.recipe import AnyRecipe
from r2mae.training.run_folder import RunFolder


@dataclass(frozen=True)
class Parts:
    """What a task gives to a training.

    facts: what a checkpoint records beside recipe and data.
    flops: of `training_flops`.
    """

    model: nn.Module
    train: SampleSource
    held_out: SampleSource
    objective: Callable[[Plan], Any]
    measure: Callable[[Plan], Any]
    tokens_per_sample: int | None = None
    flops: Flops | None = None
    layer_decay: float = 1.0
    facts: dict[str, Any] = field(default_factory=dict)


def pretraining_parts(recipe: PretrainRecipe[Any, Any], folder: RunFolder) -> Parts:
    """A masked model that predicts what its law hides."""
    from r2mae.training.objective import MaskedPrediction
    from r2mae.training.pretraining_validation import (
        PretrainingValidation,
        ValidationSettings,
    )

    train, held_out = open_training_data(recipe)
    model: Any = build_model(recipe)
    mask, watch = recipe.mask, recipe.watch

    def measure(plan: Plan) -> Any:
        settings = asdict(
            ValidationSettings(plan.watch_every_steps, plan.watch_samples, watch.ratios)
        )
        settings |= {
            name: getattr(watch, name)
            for name in settings
            if isinstance(settings[name], bool)
        }
        return PretrainingValidation(
            ValidationSettings(**settings),
            train,
            held_out,
            folder,
            plan.per_device_samples,
        )

    return Parts(
        model,
        train,
        held_out,
        objective=lambda plan: MaskedPrediction(
            mask.law, mask.pattern, recipe.seed, plan.steps, model.masking
        ),
        measure=measure,
        tokens_per_sample=math.prod(model.grid),
        facts={"law": mask.law.to_dict()},
    )


def finetuning_parts(recipe: FinetuneRecipe[Any, Any], folder: RunFolder) -> Parts:  # noqa: ARG001 - signature of TASKS
    """A classifier trained on all labels of the training split or a few per class, or a regression."""
    from r2mae.training.finetuning_validation import FinetuningValidation
    from r2mae.training.objective import Classification

    if recipe.tune.regression:
        return _regression_parts(recipe)
    split, (train, held_out) = (
        with_labels(open_split(recipe, "train")),
        open_labelled(recipe),
    )
    classes = find_classes(recipe, split)
    names = [split.class_names[label] for label in classes.tolist()]
    train = choose_labelled(recipe, train)
    tune = recipe.tune
    objective = Classification(
        torch.from_numpy(head_numbers(require_labels(root_of(split)), classes)),
        recipe.seed,
        tune.label_smoothing,
        class_weights(
            tune.class_weights, names, head_numbers(require_labels(train), classes)
        ),
    )
    return Parts(
        build_model(recipe, len(classes)),
        train,
        held_out,
        objective=lambda _: objective,
        measure=lambda plan: FinetuningValidation(
            held_out,
            plan.watch_every_steps,
            plan.watch_samples,
            plan.per_device_samples,
        ),
        layer_decay=tune.layer_decay,
        facts={"classes": classes.tolist(), "class_names": names},
    )


def _regression_parts(recipe: FinetuneRecipe[Any, Any]) -> Parts:
    from r2mae.training.finetuning_validation import FinetuningValidation
    from r2mae.training.objective import Regression

    train, held_out = open_training_data(recipe)
    targets = require_targets(train)
    mean, spread = float(targets.mean()), float(targets.std())
    if not spread > 0:
        raise InputError(
            f"data must hold numbers that differ, got {mean:g} for all. Use another label column."
        )
    objective = Regression(
        torch.from_numpy((targets - mean) / spread).float(), recipe.seed
    )
    return Parts(
        build_model(recipe, 1),
        train,
        held_out,
        objective=lambda _: objective,
        measure=lambda plan: FinetuningValidation(
            held_out,
            plan.watch_every_steps,
            plan.watch_samples,
            plan.per_device_samples,
        ),
        layer_decay=recipe.tune.layer_decay,
        facts={
            "classes": [0],
            "class_names": ["value"],
            "target": {"mean": mean, "spread": spread},
        },
    )


def check_table(recipe: FinetuneRecipe[Any, Any]) -> None:
    """Check everything that could fail in a later run, before the first run starts.

    Raises: InputError for missing labels or numbers, fewer labels than labels_per_class, or test classes that
    training lacks.
    """
    if recipe.tune.regression:
        for name in ("train", "test"):
            require_targets(open_split(recipe, name))
        return
    split = with_labels(open_split(recipe, "train"))
    check_classes(split, with_labels(open_split(recipe, "test")))
    find_classes(recipe, split)
    train = open_labelled(recipe)[0]
    for count in recipe.repeat.labels_per_class:
        repeat = recipe.repeat.model_copy(update={"labels_per_class": (count,)})
        choose_labelled(recipe.model_copy(update={"repeat": repeat}), train)


def open_labelled(recipe: AnyRecipe) -> tuple[SampleSource, SampleSource]:
    """(samples that train, samples held out) that have labels."""
    train, held_out = open_training_data(recipe)
    return with_labels(train), with_labels(held_out)


def find_classes(
    recipe: FinetuneRecipe[Any, Any], split: SampleSource
) -> npt.NDArray[np.int64]:
    """Labels (C,) of a training split, sorted by number or by name; output k of the head is the k-th.

    Raises: InputError without labels, or when the recipe's num_classes differs.
    """
    classes = np.unique(require_labels(with_labels(split)))
    expected = recipe.tune.num_classes
    if expected is not None and expected != len(classes):
        raise InputError(
            f"tune.num_classes must be {len(classes)}, the classes of the training data, got {expected}. Leave it out."
        )
    if np.array_equal(classes, np.arange(len(classes))):
        return classes
    names = split.class_names
    return np.array(
        sorted(classes.tolist(), key=lambda label: _natural(names[label])),
        dtype=np.int64,
    )


def _natural(name: str) -> tuple[bool, int, str]:
    """Sort key: numbers by value, then names by alphabet."""
    return (False, int(name), "") if name.isdecimal() else (True, 0, name)


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


# A task needs an entry here, a recipe class in schema/ and a command in cli/.
TASKS: dict[str, Callable[[Any, RunFolder], Parts]] = {
    "pretrain": pretraining_parts,
    "finetune": finetuning_parts,
}
