"""Steps of each law at equal operations, by the cost model of `r2mae check`."""

import math
from typing import Any

from r2mae.errors import InputError
from r2mae.recipe.assembly import build_outline, count_training_samples
from r2mae.recipe.plan import Plan, make_plan
from r2mae.recipe.summary import summarize
from r2mae.schema.pretrain import PretrainRecipe

Recipe = PretrainRecipe[Any, Any]


def training_pflop(recipe: Recipe) -> float:
    """Expected operations of a training, in 1e15."""
    return float(summarize(recipe)["training_pflop"])


def steps_at_equal_flops(recipe: Recipe, reference: Recipe) -> Recipe:
    """The recipe with as many steps as cost what the reference costs.

    The warm-up keeps its share of training.

    Raises: InputError where that is less than one step.
    """
    steps = planned_steps(reference)
    one_step = training_pflop(_with_steps(recipe, steps, 0)) / steps
    affordable = round(training_pflop(reference) / one_step)
    if affordable < 1:
        raise InputError(
            "budget equal_flops must allow at least one step, "
            f"got {affordable} under {recipe.mask.ratio}. Train longer."
        )
    warmup = planned_warmup(reference) * affordable / steps
    return _with_steps(recipe, affordable, min(round(warmup), affordable - 1))


def planned_steps(recipe: Recipe) -> int:
    """Steps of a recipe, from whichever unit it is scheduled in."""
    return _plan(recipe).steps


def planned_warmup(recipe: Recipe) -> int:
    """Steps of the warm-up."""
    return _plan(recipe).warmup_steps


def _plan(recipe: Recipe) -> Plan:
    samples, _ = count_training_samples(recipe)
    outline: Any = build_outline(recipe)
    return make_plan(recipe, samples, math.prod(outline.grid))


def _with_steps(recipe: Recipe, steps: int, warmup: int) -> Recipe:
    lengths = dict.fromkeys(("epochs", "samples", "tokens", "warmup_epochs"))
    update = lengths | {"steps": steps, "warmup_steps": warmup or None}
    schedule = recipe.schedule.model_copy(update=update)
    return recipe.model_copy(update={"schedule": schedule})
