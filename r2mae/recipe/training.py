"""Recipe and run folder -> everything that trains."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from r2mae.datasets.source import SampleSource
from r2mae.errors import InputError
from r2mae.recipe.plan import Plan, make_plan
from r2mae.recipe.tasks import TASKS, Parts
from r2mae.recipe.trainer import build_trainer, close_loggers, has_batch_norm, synchronise_batch_norm
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


def build_training(recipe: AnyRecipe, folder: RunFolder, *, fresh: bool = False, run_id: str = "") -> Training:
    """Model, data, engine and trainer of a run. Writes nothing yet.

    fresh: False continues from the folder's last checkpoint when there is one.
    run_id: what loggers know the run by, the same when it is continued; default: the folder's name.

    Raises: InputError for anything in recipe, data or folder that cannot work.
    """
    from r2mae.datasets.source import StreamDataset
    from r2mae.datasets.stream import Stream
    from r2mae.training.measure import check_watchable
    from r2mae.training.module import Engine

    last = None if fresh else folder.pointer("last")
    if last is not None:  # the checkpoint has all weights: what it once started from need not be there any more
        bare = recipe.model_copy(update={"model": recipe.model.model_copy(update={"init_from": None})})
    parts = TASKS[recipe.task](recipe if last is None else bare, folder)
    check_watchable(recipe.watch.samples, parts.train, parts.held_out)
    plan = make_plan(recipe, len(parts.train), parts.tokens_per_sample)
    schedule, optimizer = recipe.schedule, recipe.optimizer
    model = synchronise_batch_norm(parts.model, recipe)
    engine = Engine(
        model,
        objective=parts.objective(plan),
        dataset=StreamDataset(parts.train, Stream(len(parts.train), recipe.seed)),
        global_samples=recipe.batch.global_samples,
        per_device_samples=plan.per_device_samples,
        learning_rate=LearningRate(
            plan.peak_lr, plan.steps, plan.warmup_steps, schedule.decay, schedule.final_lr_fraction
        ),
        build_optimizer=partial(
            build_adamw,
            weight_decay=optimizer.weight_decay,
            betas=optimizer.betas,
            eps=optimizer.eps,
            layer_decay=parts.layer_decay,
        ),
        clip_norm=optimizer.clip_norm,
        num_workers=recipe.hardware.workers,
        description=describe(recipe, parts),
    )
    if recipe.hardware.compile:
        model.compile_blocks()  # type: ignore[operator]
    if last is not None:
        _check_same_data(last, parts.train)
    trainer = build_trainer(recipe, folder, plan, parts.measure(plan), run_id, has_batch_norm(model))
    return Training(trainer, engine, plan, str(last) if last else None)


def describe(recipe: AnyRecipe, parts: Parts) -> dict[str, Any]:
    """What a checkpoint says of itself beside its tensors."""
    return {
        "recipe": recipe_document(recipe),
        **parts.facts,
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
