"""Recipe and run folder -> everything that trains."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from r2mae.data.source import SampleSource
from r2mae.errors import InputError
from r2mae.modalities import find_wing
from r2mae.models.protocol import PredictsClasses
from r2mae.recipe.plan import Plan, make_plan
from r2mae.recipe.tasks import TASKS, Parts
from r2mae.recipe.trainer import (
    build_loggers,
    build_trainer,
    close_loggers,
    has_batch_norm,
    synchronise_batch_norm,
)
from r2mae.schema.recipe import AnyRecipe, recipe_document
from r2mae.training.checkpoint import read_manifest
from r2mae.training.optimizer import LearningRate, build_adamw
from r2mae.training.run_folder import RunFolder, commit, versions


@dataclass(frozen=True)
class Training:
    """Everything that a run needs."""

    trainer: Any
    module: Any
    plan: Plan
    resume_from: str | None

    def run(self) -> dict[str, float]:
        """Train to the end; gives the last measurements."""
        try:
            self.trainer.fit(self.module, ckpt_path=self.resume_from)
        finally:
            close_loggers(self.trainer)
        return dict(self.module.latest_metrics)


def build_training(
    recipe: AnyRecipe,
    folder: RunFolder,
    *,
    fresh: bool = False,
    run_id: str = "",
    trace: bool = False,
) -> Training:
    """Model, data, engine and trainer of a run. Writes nothing yet.

    fresh: False continues from the folder's last checkpoint when there is one.
    run_id: what loggers know the run by, the same when it is continued; default: the folder's name.
    trace: True writes trace.jsonl.

    Raises: InputError for anything in recipe, data or folder that cannot work.
    """
    from r2mae.training.keeper import Keeper
    from r2mae.training.learnt import Learnt
    from r2mae.training.measure import check_watchable
    from r2mae.training.progress import Progress
    from r2mae.training.recorder import FlightRecorder
    from r2mae.training.trace import Trace

    last = None if fresh else folder.pointer("last")
    engine, plan, parts = build_engine(recipe, folder, last)
    check_watchable(recipe.watch.samples, parts.train, parts.held_out)
    recorder = FlightRecorder(folder, recipe.training.max_skipped_steps)
    callbacks = [
        Progress(recipe.batch.global_samples, plan.log_every_steps),
        parts.measure(plan),
        *(
            [Learnt(parts.train, folder, plan.warmup_steps)]
            if isinstance(engine.model, PredictsClasses)
            else []
        ),
        *([Trace(folder)] if trace else []),
        Keeper(folder, plan.checkpoint_every_steps, recorder, plan.log_every_steps),
    ]
    loggers = build_loggers(recipe, folder, run_id)
    trainer = build_trainer(
        recipe, plan, callbacks, loggers, has_batch_norm(engine.model)
    )
    return Training(trainer, engine, plan, str(last) if last else None)


def build_engine(
    recipe: AnyRecipe, folder: RunFolder, last: Path | None
) -> tuple[Any, Plan, Parts]:
    """The engine of a recipe, to be started from the checkpoint `last`, or anew where it is None.

    Raises: InputError for anything in recipe or data that cannot work.
    """
    from r2mae.data.source import StreamDataset, block_samples
    from r2mae.data.stream import Stream
    from r2mae.training.module import Engine

    known = recipe
    if (
        last is not None
    ):  # the checkpoint has all weights: what it once started from need not be there any more
        bare = recipe.model_copy(
            update={"model": recipe.model.model_copy(update={"init_from": None})}
        )
        known = find_wing(recipe.modality).with_checkpoint_facts(
            bare, read_manifest(last)
        )
    parts = TASKS[recipe.task](known, folder)
    plan = make_plan(recipe, len(parts.train), parts.tokens_per_sample)
    schedule, optimizer = recipe.schedule, recipe.optimizer
    model = synchronise_batch_norm(parts.model, recipe)
    engine = Engine(
        model,
        objective=parts.objective(plan),
        dataset=StreamDataset(
            parts.train,
            Stream(len(parts.train), recipe.seed, block_samples(parts.train)),
        ),
        global_samples=recipe.batch.global_samples,
        per_device_samples=plan.per_device_samples,
        learning_rate=LearningRate(
            plan.peak_lr,
            plan.steps,
            plan.warmup_steps,
            schedule.decay,
            schedule.final_lr_fraction,
        ),
        build_optimizer=partial(
            build_adamw,
            weight_decay=optimizer.weight_decay,
            betas=optimizer.betas,
            eps=optimizer.eps,
            layer_decay=parts.layer_decay,
        ),
        clip_norm=optimizer.clip_norm,
        stop_when_nonfinite=recipe.training.on_nonfinite == "stop",
        num_workers=recipe.hardware.workers,
        description=describe(
            recipe, parts, find_wing(recipe.modality).checkpoint_facts(known)
        ),
    )
    if recipe.hardware.compile:
        model.compile_blocks()  # type: ignore[operator]
    if last is not None:
        _check_same_data(last, parts.train)
    return engine, plan, parts


def describe(recipe: AnyRecipe, parts: Parts, facts: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of itself beside its tensors. facts: what of the data a model cannot do without."""
    return {
        "recipe": recipe_document(recipe),
        **parts.facts,
        **facts,
        "preprocessing": {
            name.rsplit(".", 1)[-1]: buffer.flatten().tolist()
            for name, buffer in parts.model.named_buffers()
            if name.rsplit(".", 1)[-1].startswith("pixel_")
        },
        "data": {"fingerprint": parts.train.fingerprint, "samples": len(parts.train)},
        "commit": commit(),
        "versions": versions(),
    }


def _check_same_data(checkpoint: Any, data: SampleSource) -> None:
    before = read_manifest(checkpoint)["data"]
    if before["fingerprint"] != data.fingerprint:
        raise InputError(
            f"data must be what {checkpoint} was trained on (fingerprint {before['fingerprint']}, "
            f"{before['samples']} samples), got {data.fingerprint} with {len(data)}. Restore it, or use --fresh."
        )
