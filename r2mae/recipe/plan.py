"""Steps, warm-up and intervals that follow from a recipe and the size of its data."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from r2mae.errors import InputError
from r2mae.schema.recipe import AnyRecipe

MeasurementCost = Callable[[int], float]
_BUDGET = 0.1  # cost of measurements relative to training, at most
_MOST_MEASUREMENTS = 10
MOST_SAMPLES, _LEAST_SAMPLES = 1000, 50  # of a measurement


@dataclass(frozen=True)
class Plan:
    """Numbers that follow from a recipe and its data, as `check` prints them.

    watch_samples: held-out samples of a measurement, at most.
    watch_share: cost of all measurements relative to that of all steps; None where it was
        not computed.
    """

    train_samples: int
    tokens_per_sample: int | None
    steps: int
    warmup_steps: int
    epochs: float
    accumulation: int
    per_device_samples: int
    peak_lr: float
    watch_every_steps: int
    watch_samples: int
    watch_share: float | None
    checkpoint_every_steps: int
    log_every_steps: int


def make_plan(
    recipe: AnyRecipe,
    train_samples: int,
    tokens_per_sample: int | None,
    measurement_cost: MeasurementCost | None = None,
) -> Plan:
    """Turn epochs, samples or tokens into steps, and fill in defaults of the recipe.

    measurement_cost: of one measurement on that many samples, in training steps. Where
        the recipe leaves them out, interval and samples are chosen so that all
        measurements cost at most 10 % of training.

    Raises: InputError when warm-up is not shorter than training, or a task without tokens is scheduled in tokens.
    """
    batch = recipe.batch.global_samples
    steps = _count_steps(recipe, train_samples, tokens_per_sample)
    warmup = _count_warmup_steps(recipe, train_samples, steps)
    tenth = max(1, steps // 10)
    every, samples = _plan_measurements(recipe, steps, measurement_cost)
    share = None
    if measurement_cost is not None:
        share = math.ceil(steps / every) * measurement_cost(samples) / steps
    return Plan(
        train_samples=train_samples,
        tokens_per_sample=tokens_per_sample,
        steps=steps,
        warmup_steps=warmup,
        epochs=round(steps * batch / train_samples, 3),
        accumulation=recipe.accumulation,
        per_device_samples=recipe.per_device_samples,
        peak_lr=recipe.peak_lr,
        watch_every_steps=every,
        watch_samples=samples,
        watch_share=share,
        checkpoint_every_steps=recipe.checkpoint.every_steps or tenth,
        log_every_steps=max(1, min(50, steps // 100)),
    )


def _plan_measurements(
    recipe: AnyRecipe, steps: int, cost: MeasurementCost | None
) -> tuple[int, int]:
    """(steps between measurements, samples of each); defaults keep within `_BUDGET`."""
    every, samples = recipe.watch.every_steps, recipe.watch.samples or MOST_SAMPLES
    if cost is None:
        return every or math.ceil(steps / _MOST_MEASUREMENTS), samples
    budget = _BUDGET * steps
    if recipe.watch.samples is None:
        least_count = math.ceil(steps / every) if every else 1
        while samples > _LEAST_SAMPLES and least_count * cost(samples) > budget:
            samples = max(_LEAST_SAMPLES, samples // 2)
    if every is None:
        affordable = int(budget / max(cost(samples), 1e-9))
        count = min(max(affordable, 1), _MOST_MEASUREMENTS)
        every = math.ceil(steps / count)
    return every, samples


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
