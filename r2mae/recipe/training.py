"""Build the engine, data, callbacks and Trainer of a run from its recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2mae.data.source import has_labels, root_of
from r2mae.errors import InputError
from r2mae.modalities import find_wing
from r2mae.models.protocol import PredictsClasses
from r2mae.recipe.flops import measurement_cost, training_flops
from r2mae.recipe.plan import Plan, make_plan
from r2mae.recipe.tasks import TASKS, Parts
from r2mae.recipe.trainer import (
    build_loggers,
    build_trainer,
    close_loggers,
    has_batch_norm,
    is_first_process,
    synchronise_batch_norm,
)
from r2mae.schema.recipe import AnyRecipe, recipe_document
from r2mae.training.checkpoint import read_manifest
from r2mae.training.optimizer import LearningRate, build_adamw
from r2mae.training.run_folder import RunFolder
from r2mae.training.software import commit, versions

if TYPE_CHECKING:
    from torch import nn

    from r2mae.data.source import SampleSource, StreamDataset
    from r2mae.training.ema import MovingAverage
    from r2mae.training.module import Engine
    from r2mae.training.step import StepSettings
    from r2mae.training.throughput import Throughput


@dataclass(frozen=True)
class Training:
    """A Trainer, its module and its plan. left_out: what of the data is not trained on."""

    trainer: Any
    module: Any
    plan: Plan
    folder: RunFolder
    resume_from: str | None
    left_out: str = ""

    def run(self) -> dict[str, float]:
        """Train to the end; returns the last validation metrics, which are in run.json then.

        Raises: InterruptedRun after a signal; KeyboardInterrupt after a second Ctrl-C, with nothing saved.
        """
        module = self.module
        try:
            self.trainer.fit(module, ckpt_path=self.resume_from)
            metrics = dict(module.latest_metrics)
            if is_first_process():  # before loggers close: an upload may take long
                self.folder.write_status(step=module.steps_done, metrics=metrics)
        except SystemExit:  # how Lightning ends after a KeyboardInterrupt
            raise KeyboardInterrupt from None
        finally:
            close_loggers(self.trainer)
        return metrics


def build_training(
    recipe: AnyRecipe,
    folder: RunFolder,
    *,
    fresh: bool = False,
    run_id: str = "",
    trace: bool = False,
    callbacks: Sequence[Any] = (),
) -> Training:
    """Model, data, engine and trainer of a run. Writes nothing yet.

    fresh: False continues from the folder's last checkpoint when there is one.
    run_id: names the run to loggers, the same when it is continued; default: the folder's name.
    trace: True writes trace.jsonl.
    callbacks: `r2mae.Callback`s of a caller from Python.

    Raises: InputError for anything in recipe, data or folder that cannot work.
    """
    last = None if fresh else folder.pointer("last")
    engine, plan, parts = build_engine(recipe, folder, last)
    trainer = build_trainer(
        recipe,
        plan,
        _build_callbacks(recipe, folder, plan, parts, trace, callbacks),
        build_loggers(recipe, folder, run_id),
        has_batch_norm(engine.model),
    )
    left_out = getattr(root_of(parts.train), "note", "")
    resume_from = str(last) if last else None
    return Training(trainer, engine, plan, folder, resume_from, left_out)


def _build_callbacks(
    recipe: AnyRecipe,
    folder: RunFolder,
    plan: Plan,
    parts: Parts,
    trace: bool,
    callbacks: Sequence[Any],
) -> list[Any]:
    """Lightning's callbacks in the order in which they run after a step; the checkpoint callback comes last."""
    from r2mae.recipe.assembly import check_watchable
    from r2mae.training.callback import CallbackAdapter
    from r2mae.training.checkpoint_callback import CheckpointCallback
    from r2mae.training.guarded_logger import Rows
    from r2mae.training.order0 import Order0
    from r2mae.training.progress import Progress
    from r2mae.training.recorder import FlightRecorder
    from r2mae.training.trace import Trace

    check_watchable(parts.train, parts.held_out)
    log_every = plan.log_every_steps
    progress = Progress(_throughput(recipe, parts), log_every)
    ordered: list[Any] = [progress, parts.measure(plan)]
    if isinstance(parts.model, PredictsClasses):
        naive_loss = partial(
            find_wing(recipe.modality).naive_loss, recipe, parts.train, parts.held_out
        )
        ordered.append(Order0(parts.train, folder, plan.warmup_steps, naive_loss))
    if trace:
        ordered.append(Trace(folder))
    ordered += [CallbackAdapter(callback) for callback in callbacks]
    ordered.append(Rows())
    recorder = FlightRecorder(folder, recipe.training.max_skipped_steps)
    timeout = timedelta(seconds=recipe.hardware.timeout_seconds)
    every = plan.checkpoint_every_steps
    return [*ordered, CheckpointCallback(folder, every, recorder, log_every, timeout)]


def _throughput(recipe: AnyRecipe, parts: Parts) -> Throughput:
    from r2mae.training.throughput import Throughput

    assert parts.flops is not None
    return Throughput(recipe.batch.global_samples, parts.flops)


def _with_flops(recipe: AnyRecipe, parts: Parts) -> Parts:
    """Parts with the operations of training, measured at most once."""
    classes = parts.facts.get("classes")
    flops = training_flops(recipe, parts.train, classes and len(classes))
    return replace(parts, flops=flops)


def build_engine(
    recipe: AnyRecipe, folder: RunFolder, last: Path | None
) -> tuple[Engine, Plan, Parts]:
    """The engine of a recipe, to start from the checkpoint `last`, or anew where it is None.

    Raises: InputError for anything in recipe or data that cannot work.
    """
    from r2mae.training.module import Engine

    complete = recipe if last is None else _with_checkpoint_facts(recipe, last)
    parts = TASKS[recipe.task](complete, folder)
    parts = _with_flops(recipe, parts)
    assert parts.flops is not None
    labelled = has_labels(parts.train)
    cost = measurement_cost(recipe, parts.flops, len(parts.train), labelled)
    plan = make_plan(recipe, len(parts.train), parts.tokens_per_sample, cost)
    model = synchronise_batch_norm(parts.model, recipe)
    _check_shardable(recipe, model)
    facts = find_wing(recipe.modality).checkpoint_facts(complete)
    engine = Engine(
        model,
        objective=parts.objective(plan),
        dataset=_stream_dataset(parts.train, recipe),
        settings=_step_settings(recipe, plan),
        build_optimizer=_optimizer_builder(recipe, parts.layer_decay),
        num_workers=recipe.hardware.workers,
        description=describe(recipe, parts, facts),
        moving_average=_moving_average(recipe.training.ema),
    )
    if recipe.hardware.recompute == "blocks":
        model.recompute_blocks()  # type: ignore[operator]
    if recipe.hardware.compile:
        model.compile_blocks()  # type: ignore[operator]
    if last is not None:
        _check_same_data(last, parts.train)
    return engine, plan, parts


def _moving_average(decay: float | None) -> MovingAverage | None:
    from r2mae.training.ema import MovingAverage

    return None if decay is None else MovingAverage(decay)


def _check_shardable(recipe: AnyRecipe, model: nn.Module) -> None:
    """Raise InputError for what FSDP does not divide here."""
    if recipe.hardware.strategy != "fsdp":
        return
    if recipe.training.ema is not None:
        raise InputError(
            "training.ema must be null with hardware.strategy fsdp, "
            f"got {recipe.training.ema}. Set one of the two."
        )
    if has_batch_norm(model):
        raise InputError(
            "hardware.strategy must be ddp for models with BatchNorm, got fsdp. Set it."
        )


def _with_checkpoint_facts(recipe: AnyRecipe, checkpoint: Path) -> AnyRecipe:
    """The recipe to continue with: the checkpoint has all weights, so `init_from` is not needed."""
    model = recipe.model.model_copy(update={"init_from": None})
    return find_wing(recipe.modality).with_checkpoint_facts(
        recipe.model_copy(update={"model": model}), read_manifest(checkpoint)
    )


def _stream_dataset(train: SampleSource, recipe: AnyRecipe) -> StreamDataset:
    from r2mae.data.source import StreamDataset, block_samples
    from r2mae.data.stream import Stream

    # Not every data section has augmentation, nor every augmentation repeats.
    augment = getattr(recipe.data, "augment", None)
    repeats = getattr(augment, "repeats", 1)
    stream = Stream(len(train), recipe.seed, block_samples(train), repeats=repeats)
    return StreamDataset(train, stream)


def _step_settings(recipe: AnyRecipe, plan: Plan) -> StepSettings:
    from r2mae.training.step import StepSettings

    schedule = recipe.schedule
    return StepSettings(
        recipe.batch.global_samples,
        plan.per_device_samples,
        LearningRate(
            plan.peak_lr,
            plan.steps,
            plan.warmup_steps,
            schedule.decay,
            schedule.final_lr_fraction,
        ),
        recipe.optimizer.clip_norm,
        recipe.training.on_nonfinite == "stop",
    )


def _optimizer_builder(recipe: AnyRecipe, layer_decay: float) -> Callable[[Any], Any]:
    """Model -> AdamW with the recipe's settings."""
    return partial(
        build_adamw,
        weight_decay=recipe.optimizer.weight_decay,
        betas=recipe.optimizer.betas,
        eps=recipe.optimizer.eps,
        layer_decay=layer_decay,
    )


def describe(recipe: AnyRecipe, parts: Parts, facts: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint records beside its tensors.

    facts: what the model needs to know of its data to be used without it, a vocabulary for example.
    """
    buffers = {
        name.rsplit(".", 1)[-1]: buffer for name, buffer in parts.model.named_buffers()
    }
    return {
        "recipe": recipe_document(recipe),
        **parts.facts,
        **facts,
        "preprocessing": {
            name: buffer.flatten().tolist()
            for name, buffer in buffers.items()
            if name.startswith("pixel_")
        },
        "data": {"fingerprint": parts.train.fingerprint, "samples": len(parts.train)},
        "commit": commit(),
        "versions": versions(),
    }


def _check_same_data(checkpoint: Any, data: SampleSource) -> None:
    """Raise InputError where samples were changed, or others are chosen of them."""
    before = read_manifest(checkpoint)["data"]
    now = data.fingerprint, len(data)
    if (before["fingerprint"], before["samples"]) != now:
        raise InputError(
            f"data must be what {checkpoint} was trained on (fingerprint {before['fingerprint']}, "
            f"{before['samples']} samples), got {data.fingerprint} with {len(data)}. Restore it, or use --fresh."
        )
