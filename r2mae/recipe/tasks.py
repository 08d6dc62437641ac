"""What each task gives to the engine: model, samples, objective and measurements."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from r2mae.data.source import SampleSource
from r2mae.recipe.assembly import build_model, open_split, open_training_data
from r2mae.recipe.flops import Flops
from r2mae.recipe.labels import choose_labelled, open_labelled
from r2mae.recipe.plan import Plan
from r2mae.recipe.targets import task_of
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
    from r2mae.training.pretraining_validation import PretrainingValidation

    train, held_out = open_training_data(recipe)
    model: Any = build_model(recipe)
    mask = recipe.mask

    def measure(plan: Plan) -> Any:
        return PretrainingValidation(
            _validation_settings(plan, recipe.watch),
            train,
            held_out,
            folder,
            plan.per_device_samples,
            at_start=recipe.model.init_from is not None,
            workers=recipe.hardware.workers,
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


def _validation_settings(plan: Plan, watch: Any) -> Any:
    """Steps and samples of the plan, ratios and switches of `watch`."""
    from r2mae.training.pretraining_validation import ValidationSettings

    every, samples = plan.watch_every_steps, plan.watch_samples
    settings = asdict(ValidationSettings(every, samples, watch.ratios))
    settings |= {
        name: getattr(watch, name)
        for name in settings
        if isinstance(settings[name], bool)
    }
    return ValidationSettings(**settings)


def finetuning_parts(recipe: FinetuneRecipe[Any, Any], folder: RunFolder) -> Parts:  # noqa: ARG001 - signature of TASKS
    """An encoder and its head, trained on all labels of the training split or a few per class."""
    from r2mae.training.finetuning_validation import FinetuningValidation

    train, held_out = open_labelled(recipe)
    task = task_of(recipe)
    names = task.outputs(recipe, open_split(recipe, "train"))
    model = build_model(recipe, len(names))
    objective, facts = task.build(recipe, train, model, names)

    def measure(plan: Plan) -> Any:
        return FinetuningValidation(
            held_out,
            plan.watch_every_steps,
            plan.watch_samples,
            plan.per_device_samples,
            workers=recipe.hardware.workers,
        )

    return Parts(
        model,
        choose_labelled(recipe, train),
        held_out,
        objective=lambda _: objective,
        measure=measure,
        layer_decay=recipe.tune.layer_decay,
        facts={"classes": list(range(len(names))), "class_names": names} | facts,
    )


# A task needs an entry here, a recipe class in schema/ and a command in cli/.
TASKS: dict[str, Callable[[Any, RunFolder], Parts]] = {
    "pretrain": pretraining_parts,
    "finetune": finetuning_parts,
}
