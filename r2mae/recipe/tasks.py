"""What each task gives to the engine: model, samples, objective and measurements."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from r2mae.data.source import SampleSource, root_of, with_labels
from r2mae.errors import InputError
from r2mae.evaluation.answer_span import has_unanswerable, require_questions
from r2mae.evaluation.classification import head_numbers
from r2mae.evaluation.features import require_labels
from r2mae.evaluation.multi_label import label_matrix
from r2mae.evaluation.regression import require_targets
from r2mae.evaluation.token_tags import tag_targets
from r2mae.recipe.assembly import build_model, open_split, open_training_data
from r2mae.recipe.flops import Flops
from r2mae.recipe.labels import (
    choose_labelled,
    class_weights,
    find_classes,
    find_labels,
    find_tags,
    open_labelled,
)
from r2mae.recipe.plan import Plan
from r2mae.schema.finetune import FinetuneRecipe
from r2mae.schema.pretrain import PretrainRecipe
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
    """An encoder and its head, trained on all labels of the training split or a few per class."""
    from r2mae.training.finetuning_validation import FinetuningValidation

    train, held_out = open_labelled(recipe)
    model, objective, facts = _TARGETS[recipe.tune.target](recipe, train)

    def measure(plan: Plan) -> Any:
        return FinetuningValidation(
            held_out,
            plan.watch_every_steps,
            plan.watch_samples,
            plan.per_device_samples,
        )

    return Parts(
        model,
        choose_labelled(recipe, train),
        held_out,
        objective=lambda _: objective,
        measure=measure,
        layer_decay=recipe.tune.layer_decay,
        facts=facts,
    )


# Of a recipe and its training samples: model, objective, and facts for the checkpoint.
_Target = tuple[nn.Module, Any, dict[str, Any]]


def _classification(recipe: FinetuneRecipe[Any, Any], train: SampleSource) -> _Target:
    from r2mae.training.objective import Classification

    tune, split = recipe.tune, with_labels(open_split(recipe, "train"))
    classes = find_classes(recipe, split)
    names = [split.class_names[label] for label in classes.tolist()]
    chosen = choose_labelled(recipe, train)
    trained = head_numbers(require_labels(chosen), classes)
    objective = Classification(
        torch.from_numpy(head_numbers(require_labels(root_of(split)), classes)),
        recipe.seed,
        tune.label_smoothing,
        class_weights(tune.class_weights, names, trained),
    )
    model: Any = build_model(recipe, len(classes))
    if tune.target == "ordinal":
        # Thresholds move slowly at the small learning rates of fine-tuning.
        counts = np.bincount(trained, minlength=len(classes)) + 1
        model.head[-1].start_at(torch.from_numpy(counts / counts.sum()))
    return model, objective, {"classes": classes.tolist(), "class_names": names}


def _multi_label(recipe: FinetuneRecipe[Any, Any], train: SampleSource) -> _Target:
    from r2mae.training.objective import MultiLabel

    names = find_labels(recipe, open_split(recipe, "train"))
    root = root_of(train)
    targets = label_matrix(require_labels(root), root.class_names, names)
    objective = MultiLabel(torch.from_numpy(targets).float(), recipe.seed)
    facts = {"classes": list(range(len(names))), "class_names": names}
    return build_model(recipe, len(names)), objective, facts


def _token_tags(recipe: FinetuneRecipe[Any, Any], train: SampleSource) -> _Target:
    from r2mae.training.objective import WordTags

    names = find_tags(recipe, root_of(train))
    targets = tag_targets(train, names)
    objective = WordTags(
        torch.from_numpy(np.concatenate(targets)),
        torch.from_numpy(np.cumsum([0, *map(len, targets)])),
        recipe.seed,
    )
    facts = {"classes": list(range(len(names))), "class_names": names}
    return build_model(recipe, len(names)), objective, facts


def _answer_span(recipe: FinetuneRecipe[Any, Any], train: SampleSource) -> _Target:
    from r2mae.training.objective import AnswerSpan

    root = require_questions(train)
    facts = {
        "classes": [0, 1],
        "class_names": ["first token", "last token"],
        "has_unanswerable": has_unanswerable(root),
    }
    objective = AnswerSpan(torch.from_numpy(root.spans), recipe.seed)
    return build_model(recipe, 2), objective, facts


def _regression(recipe: FinetuneRecipe[Any, Any], train: SampleSource) -> _Target:
    from r2mae.training.objective import Regression

    targets = require_targets(train)
    mean, spread = float(targets.mean()), float(targets.std())
    if not spread > 0:
        raise InputError(
            f"data must hold numbers that differ, got {mean:g} for all. Use another label column."
        )
    standardized = torch.from_numpy((targets - mean) / spread).float()
    facts = {
        "classes": [0],
        "class_names": ["value"],
        "target": {"mean": mean, "spread": spread},
    }
    return build_model(recipe, 1), Regression(standardized, recipe.seed), facts


_TARGETS: dict[str, Callable[[Any, SampleSource], _Target]] = {
    "class": _classification,
    "ordinal": _classification,
    "multi_label": _multi_label,
    "regression": _regression,
    "token_tags": _token_tags,
    "answer_span": _answer_span,
}


# A task needs an entry here, a recipe class in schema/ and a command in cli/.
TASKS: dict[str, Callable[[Any, RunFolder], Parts]] = {
    "pretrain": pretraining_parts,
    "finetune": finetuning_parts,
}
