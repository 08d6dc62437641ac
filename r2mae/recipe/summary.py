"""What `r2mae check` reports: plan, parameters and cost of a recipe."""

import math
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from r2mae.data.source import has_labels
from r2mae.law import expected_maximum
from r2mae.masking.pattern import count_masked
from r2mae.recipe.assembly import (
    build_outline,
    count_training_samples,
    is_data_here,
    open_training_data,
)
from r2mae.recipe.flops import measurement_cost, training_flops
from r2mae.recipe.plan import MeasurementCost, Plan, make_plan
from r2mae.schema.recipe import AnyRecipe, recipe_document
from r2mae.training.start import describe_start

_SCHEDULE_POINTS = 20  # at which a scheduled law is costed
_RANKS_TO_COMPARE = 8  # where a recipe runs on one device
_UNKNOWN_CLASSES = 2  # of the model that is costed without local data
_STATE_BYTES = 4  # of a weight; a trained one has a gradient and two moments beside it


def summarize(recipe: AnyRecipe) -> dict[str, Any]:
    """The resolved recipe, its data, parameters, plan and costs.

    Raises: InputError with the first mistake.
    """
    samples, data = count_training_samples(recipe)
    model, costs = (
        _finetuning(recipe)
        if recipe.task == "finetune"
        else _pretraining(recipe, samples)
    )
    source = recipe.model.init_from
    if source is not None:
        absent = f"{source}: not on this machine, not checked"
        data |= {"init_from": describe_start(model) or absent}
    about = {"recipe": recipe_document(recipe), "data": data, "notes": _notes(recipe)}
    return about | costs


def _notes(recipe: AnyRecipe) -> list[str]:
    """Settings that are valid, but seldom meant."""
    hardware = recipe.hardware
    if hardware.workers or hardware.accelerator == "cpu":
        return []
    has_gpu = hardware.accelerator == "gpu" or torch.cuda.device_count() > 0
    if not has_gpu and hardware.replicas == 1:
        return []
    return [
        "samples are read in the training process, so devices wait for them: set "
        "hardware.workers, for example to 4"
    ]


def _pretraining(recipe: Any, samples: int) -> tuple[nn.Module, dict[str, Any]]:
    """The model, and its plan and costs."""
    model: Any = build_outline(recipe)
    flops = training_flops(recipe, None, None)
    cost = measurement_cost(recipe, flops, samples, _has_labels(recipe))
    plan = make_plan(recipe, samples, math.prod(model.grid), cost)
    levels = _levels(recipe, model, plan, 0.0)
    return model, {
        **_parameters(recipe, model),
        "plan": asdict(plan),
        "levels": levels,
        "levels_at_end": _levels(recipe, model, plan, 1.0),
        "training_pflop": _training_pflop(recipe, model, plan),
        "independent_draws": _independent_draws(recipe, levels),
    }


def _finetuning(recipe: Any) -> tuple[nn.Module, dict[str, Any]]:
    """The model, and a plan for each number of labels.

    Without local data all samples are counted.
    """
    from r2mae.recipe.assembly import open_split
    from r2mae.recipe.labels import choose_labelled, open_labelled
    from r2mae.recipe.targets import check_table, task_of

    counts = recipe.repeat.labels_per_class
    if not is_data_here(recipe):
        samples, _ = count_training_samples(recipe)
        plans = {
            str(count): asdict(
                make_plan(recipe, samples, None, _finetuning_cost(recipe, samples))
            )
            for count in counts
        }
        outline = build_outline(recipe, _UNKNOWN_CLASSES)
        costs = {**_parameters(recipe, outline), "classes": None, "plans": plans}
        return outline, costs
    check_table(recipe)  # opens the test split too
    train = open_labelled(recipe)[0]
    classes = len(task_of(recipe).outputs(recipe, open_split(recipe, "train")))
    model: Any = build_outline(recipe, classes)
    rows = torch.arange(2) % len(train)
    # With positions, as training reads samples: augmented and mixed.
    flops = model.training_flops(train.load(rows, rows, 0))
    plans = {}
    for count in counts:
        repeat = recipe.repeat.model_copy(update={"labels_per_class": (count,)})
        few = choose_labelled(recipe.model_copy(update={"repeat": repeat}), train)
        plan = make_plan(recipe, len(few), None, _finetuning_cost(recipe, len(few)))
        work = flops * plan.steps * recipe.batch.global_samples / 1e15
        plans[str(count)] = asdict(plan) | {"training_pflop": work}
    costs = {**_parameters(recipe, model), "classes": classes, "plans": plans}
    return model, costs


def _has_labels(recipe: AnyRecipe) -> bool:
    """Whether the training split has labels; True if the data is not on this machine."""
    if not is_data_here(recipe):
        return True
    return has_labels(open_training_data(recipe)[0])


def _finetuning_cost(recipe: AnyRecipe, samples: int) -> MeasurementCost:
    return measurement_cost(recipe, lambda _: 1.0, samples, True)


def _parameters(recipe: AnyRecipe, model: Any) -> dict[str, Any]:
    """Counts of parameters, and GiB of weights, gradients, moments and moving average.

    "trained_state_gib" is the part of the last three, which grows with trained parameters.
    """
    parameters = list(model.parameters())
    total = sum(parameter.numel() for parameter in parameters)
    trained = sum(
        parameter.numel() for parameter in parameters if parameter.requires_grad
    )
    per_trained = 3 if recipe.training.ema is None else 4
    trained_state = per_trained * trained * _STATE_BYTES
    state = total * _STATE_BYTES + trained_state
    return {
        "parameters": {"all": total, "trained": trained},
        "state_gib": float(f"{state / 2**30:.4g}"),
        "trained_state_gib": float(f"{trained_state / 2**30:.4g}"),
    }


def _levels(
    recipe: Any, model: Any, plan: Plan, progress: float
) -> list[dict[str, Any]]:
    """Costs of a step at each ratio of the law. progress: share of training that is done."""
    ratios = recipe.mask.law.table(progress).tolist()
    return [_level(recipe, model, plan, ratio) for ratio in ratios]


def _level(recipe: Any, model: Any, plan: Plan, ratio: float) -> dict[str, Any]:
    """A step at one ratio: tokens, operations of all devices, activations of one device."""
    tokens = torch.tensor([plan.tokens_per_sample])
    masked = int(count_masked(tokens, torch.tensor([ratio], dtype=torch.float64)))
    visible = (plan.tokens_per_sample or 0) - masked
    memory = model.saved_values(visible)
    narrow_bytes = 2 if recipe.hardware.precision == "bf16-mixed" else 4
    activations = memory.wide * 4 + memory.narrow * narrow_bytes
    flops = model.training_flops(visible) * recipe.batch.global_samples
    return {
        "ratio": ratio,
        "masked": masked,
        "visible": visible,
        "step_tflop": flops / 1e12,
        "activations_gib": plan.per_device_samples * activations / 2**30,
    }


def _training_pflop(recipe: Any, model: Any, plan: Plan) -> float:
    """Expected operations of the whole training, the law's schedule included."""
    points = 1 if recipe.mask.schedule is None else _SCHEDULE_POINTS
    costs: list[float] = []
    for point in range(points):
        levels = _levels(recipe, model, plan, (point + 0.5) / points)
        costs += [level["step_tflop"] for level in levels]
    return float(plan.steps * sum(costs) / len(costs) / 1e3)


def _independent_draws(
    recipe: Any, levels: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """Cost of a step if every rank drew its own ratio and all waited for the slowest.

    {"ranks", "cost"}: cost is relative to one draw for all ranks. None where every sample has its own ratio.
    """
    if recipe.mask.scope != "step":
        return None
    replicas = recipe.hardware.nodes * recipe.hardware.devices
    ranks = replicas if replicas > 1 else _RANKS_TO_COMPARE
    costs = [level["step_tflop"] for level in levels]
    return {
        "ranks": ranks,
        "cost": expected_maximum(costs, ranks) / (sum(costs) / len(costs)),
    }
