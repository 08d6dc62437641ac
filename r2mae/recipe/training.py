"""Recipe and run folder -> everything that trains."""

import logging
import math
import os
import warnings
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import torch
from torch import nn

from r2mae.datasets.source import SampleSource
from r2mae.errors import InputError
from r2mae.recipe.modality import AnyRecipe, build_model, open_training_data
from r2mae.recipe.plan import Plan, make_plan
from r2mae.schema.pretrain import recipe_document
from r2mae.training.checkpoint import read_manifest
from r2mae.training.optimizer import LearningRate, build_adamw
from r2mae.training.run_folder import RunFolder, commit, versions


@dataclass(frozen=True)
class Training:
    """Everything that `pretrain` runs."""

    trainer: Any
    module: Any
    plan: Plan
    resume_from: str | None

    def run(self) -> dict[str, float]:
        """Train to the end; gives the last measurements."""
        self.trainer.fit(self.module, ckpt_path=self.resume_from)
        return dict(self.module.latest_metrics)


def build_training(recipe: AnyRecipe, folder: RunFolder, *, fresh: bool = False, run_id: str = "") -> Training:
    """Model, data, module and trainer of a run. Writes nothing yet.

    fresh: False continues from the folder's last checkpoint when there is one.
    run_id: what loggers know the run by, the same when it is continued; default: the folder's name.

    Raises: InputError for anything in recipe, data or folder that cannot work.
    """
    from r2mae.datasets.source import StreamDataset
    from r2mae.datasets.stream import Stream
    from r2mae.training.module import Masker, Pretraining
    from r2mae.training.watch import check_watchable

    train, held_out = open_training_data(recipe)
    check_watchable(recipe.watch.samples, train, held_out)
    model = _synchronise_batch_norm(build_model(recipe), recipe)
    plan = make_plan(recipe, len(train), math.prod(model.grid))  # type: ignore[arg-type]
    optimizer = recipe.optimizer
    module = Pretraining(
        model,
        masker=Masker(recipe.mask.law, recipe.mask.pattern, recipe.seed, plan.steps),
        dataset=StreamDataset(train, Stream(len(train), recipe.seed)),
        global_samples=recipe.batch.global_samples,
        per_device_samples=plan.per_device_samples,
        learning_rate=LearningRate(
            plan.peak_lr,
            plan.steps,
            plan.warmup_steps,
            recipe.schedule.decay,
            recipe.schedule.final_lr_fraction,
        ),
        build_optimizer=partial(
            build_adamw, weight_decay=optimizer.weight_decay, betas=optimizer.betas, eps=optimizer.eps
        ),
        clip_norm=optimizer.clip_norm,
        num_workers=recipe.hardware.workers,
        description=describe(recipe, model, train),
    )
    if recipe.hardware.compile:
        model.compile_blocks()  # type: ignore[operator]
    last = None if fresh else folder.pointer("last")
    if last is not None:
        _check_same_data(last, train)
    trainer = _build_trainer(recipe, folder, plan, train, held_out, run_id, has_batch_norm(model))
    return Training(trainer, module, plan, str(last) if last else None)


def has_batch_norm(model: nn.Module) -> bool:
    """True when a sample's output in train mode depends on the others of its batch."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())


def _synchronise_batch_norm(model: nn.Module, recipe: AnyRecipe) -> nn.Module:
    """BatchNorm over all GPUs of a step. torch has none for CPUs: there each process has its own statistics of a
    micro-batch, and the running ones are the first process's, which checkpoints hold.
    """
    hardware = recipe.hardware
    if hardware.nodes * hardware.devices == 1 or not has_batch_norm(model) or choose_accelerator(recipe) == "cpu":
        return model
    from timm.layers import convert_sync_batchnorm  # torch's own would lose the activations in timm's BatchNormAct2d

    synchronised: nn.Module = convert_sync_batchnorm(model)
    return synchronised


def describe(recipe: AnyRecipe, model: nn.Module, data: SampleSource) -> dict[str, Any]:
    """What a checkpoint says of itself beside its tensors."""
    return {
        "recipe": recipe_document(recipe),
        "law": recipe.mask.law.to_dict(),
        "preprocessing": {
            name: buffer.flatten().tolist() for name, buffer in model.named_buffers() if name.startswith("pixel_")
        },
        "data": {"fingerprint": data.fingerprint, "samples": len(data)},
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


def choose_accelerator(recipe: AnyRecipe) -> str:
    """ "gpu" or "cpu".

    Raises: InputError when a recipe wants more GPUs than there are.
    """
    hardware, available = recipe.hardware, torch.cuda.device_count()
    if hardware.accelerator == "cpu" or (hardware.accelerator == "auto" and not available):
        return "cpu"
    if available < hardware.devices:
        remedy = "Set hardware.devices, or hardware.accelerator: cpu."
        raise InputError(
            f"hardware.devices must be at most the {available} GPUs here, got {hardware.devices}. {remedy}"
        )
    return "gpu"


def _build_trainer(
    recipe: AnyRecipe,
    folder: RunFolder,
    plan: Plan,
    train: SampleSource,
    held_out: SampleSource,
    run_id: str,
    share_buffers: bool,
) -> Any:
    _quiet_lightning()
    import pytorch_lightning as lightning
    from pytorch_lightning.strategies import DDPStrategy

    from r2mae.training.checkpoint_io import FolderCheckpointIO
    from r2mae.training.keeper import Keeper
    from r2mae.training.progress import Progress
    from r2mae.training.watch import Watch, WatchSettings

    hardware = recipe.hardware
    settings = asdict(WatchSettings(plan.watch_every_steps, recipe.watch.samples, recipe.watch.ratios))
    settings |= {name: getattr(recipe.watch, name) for name in settings if isinstance(settings[name], bool)}
    strategy: Any = "auto"
    if hardware.nodes * hardware.devices > 1:
        strategy = DDPStrategy(
            gradient_as_bucket_view=True, broadcast_buffers=share_buffers, timeout=timedelta(seconds=1800)
        )
    return lightning.Trainer(
        accelerator=choose_accelerator(recipe),
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        strategy=strategy,
        precision=hardware.precision,
        max_epochs=1,  # the stream has no epochs: one pass over its positions is the whole training
        accumulate_grad_batches=plan.accumulation,
        logger=_build_loggers(recipe, folder, run_id),
        callbacks=[
            Progress(recipe.batch.global_samples, plan.log_every_steps),
            Watch(WatchSettings(**settings), train, held_out, folder, plan.per_device_samples),
            Keeper(folder, plan.checkpoint_every_steps),
        ],
        plugins=[FolderCheckpointIO()],
        default_root_dir=str(folder.path),
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
    )


def _build_loggers(recipe: AnyRecipe, folder: RunFolder, run_id: str) -> list[Any]:
    from r2mae.training.progress import CsvLogger

    loggers: list[Any] = [CsvLogger(folder)] if "csv" in recipe.log else []
    if "wandb" in recipe.log:
        try:
            import wandb
            from pytorch_lightning.loggers import WandbLogger
        except ImportError:
            raise InputError('log: wandb must be installed, got none. Run: pip install "r2mae[wandb]".') from None
        if os.environ.get("WANDB_MODE") not in ("offline", "disabled", "dryrun") and not wandb.api.api_key:
            raise InputError(
                "log: wandb must be logged in, got no API key. Run wandb login, or set WANDB_MODE=offline."
            )
        loggers.append(
            WandbLogger(
                project="r2mae",
                name=folder.path.name,
                save_dir=str(folder.path),
                id=run_id or folder.path.name,
                resume="allow",
            )
        )
    return loggers


def is_first_process() -> bool:
    """True in the process that writes: rank 0, known before any process group exists."""
    return all(int(os.environ.get(name, "0")) == 0 for name in ("LOCAL_RANK", "NODE_RANK", "RANK"))


def _quiet_lightning() -> None:
    """Lightning's banners and hints are about its own defaults, which the engine sets on purpose."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning.*")
    warnings.filterwarnings("ignore", module="lightning_fabric.*")
    # The patch projection's gradient arrives permuted; one small copy a step is all that DDP means.
    warnings.filterwarnings("ignore", message="Grad strides do not match")
