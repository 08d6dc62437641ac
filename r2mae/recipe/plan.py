"""Steps, warm-up and intervals that follow from a recipe and the size of its data."""

import math
from dataclasses import dataclass

from r2mae.errors import InputError
from r2mae.schema.recipe import AnyRecipe


@dataclass(frozen=True)
class Plan:
    """Numbers that follow from a recipe and its data; `check` prints them, a recipe cannot set them."""

    train_samples: int
    tokens_per_sample: int | None
    steps: int
    warmup_steps: int
    epochs: float
    accumulation: int
    per_device_samples: int
    peak_lr: float
    watch_every_steps: int
    checkpoint_every_steps: int
    log_every_steps: int


def make_plan(
    recipe: AnyRecipe, train_samples: int, tokens_per_sample: int | None
) -> Plan:
    """Turn epochs, samples or tokens into steps, and fill in defaults of the recipe.

    Raises: InputError when warm-up is not shorter than training, or a task without tokens is scheduled in tokens.
    """
    batch = recipe.batch.global_samples
    steps = _count_steps(recipe, train_samples, tokens_per_sample)
    warmup = _count_warmup_steps(recipe, train_samples, steps)
    tenth = max(1, steps // 10)
    return Plan(
        train_samples=train_samples,
        tokens_per_sample=tokens_per_sample,
        steps=steps,
        warmup_steps=warmup,
        epochs=round(steps * batch / train_samples, 3),
        accumulation=recipe.accumulation,
        per_device_samples=recipe.per_device_samples,
        peak_lr=recipe.peak_lr,
        watch_every_steps=recipe.watch.every_steps or tenth,
        checkpoint_every_steps=recipe.checkpoint.every_steps or tenth,
        log_every_steps=max(1, min(50, steps // 100)),
    )


def _count_steps(
    recipe: AnyRecipe, train_samples: int, tokens_per_sample: int | None
) -> int:
    schedule, batch = recipe.schedule, recipe.batch.global_samples
    if schedule.steps is not None:
        return schedule.steps
    if schedule.epochs is not None:
        return math.ceil(schedule.epochs * train_samples / batch)
    if schedule.samples is not None:
        return math.ceil(schedule.samples / batch)
    if tokens_per_sample is None:
        raise InputError(
            "schedule must be given in epochs, steps or samples for this task, "
            f"got {schedule.tokens} tokens. Tokens are counted in pretraining only."
        )
    return math.ceil((schedule.tokens or 0) / (batch * tokens_per_sample))


def _count_warmup_steps(recipe: AnyRecipe, train_samples: int, steps: int) -> int:
    schedule = recipe.schedule
    epochs = schedule.warmup_epochs or 0
    warmup = schedule.warmup_steps or round(
        epochs * train_samples / recipe.batch.global_samples
    )
    if warmup >= steps:
        raise InputError(
            "schedule.warmup_steps or warmup_epochs must be shorter than training, "
            f"got {warmup} of {steps} steps. Shorten it."
        )
    return warmup
