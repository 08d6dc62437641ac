"""Lightning's Trainer and loggers for a recipe."""

import logging
import os
import sys
import warnings
from datetime import timedelta
from typing import Any

import torch
from torch import nn

from r2mae.errors import InputError
from r2mae.recipe.device import choose_accelerator, num_visible_devices
from r2mae.recipe.plan import Plan
from r2mae.schema.launch import read_launch
from r2mae.schema.recipe import AnyRecipe
from r2mae.training.run_folder import RunFolder


def has_batch_norm(model: nn.Module) -> bool:
    """True when a sample's output in train mode depends on the others of its batch."""
    return any(
        isinstance(module, nn.modules.batchnorm._BatchNorm)
        for module in model.modules()
    )


def synchronise_batch_norm(model: nn.Module, recipe: AnyRecipe) -> nn.Module:
    """The model with BatchNorm over all GPUs of a step.

    torch has no such BatchNorm for CPUs: there each process normalises by its own micro-batch, and the running
    statistics, also in checkpoints, are the first process's.
    """
    hardware = recipe.hardware
    if (
        hardware.nodes * hardware.devices == 1
        or not has_batch_norm(model)
        or choose_accelerator(recipe) == "cpu"
    ):
        return model
    if "timm" in sys.modules:  # torch's own loses the activations of BatchNormAct2d
        from timm.layers import convert_sync_batchnorm
    else:
        convert_sync_batchnorm = nn.SyncBatchNorm.convert_sync_batchnorm
    synchronised: nn.Module = convert_sync_batchnorm(model)
    return synchronised


def build_trainer(
    recipe: AnyRecipe,
    plan: Plan,
    callbacks: list[Any],
    loggers: list[Any],
    share_buffers: bool,
) -> Any:
    """A Trainer with our strategy, checkpoints and callbacks; Lightning's own callbacks are off.

    share_buffers: broadcast the first process's buffers to the others at every step.

    Raises: InputError for several devices without a launcher.
    """
    _check_launcher(recipe)
    _quiet_lightning()
    import pytorch_lightning as lightning

    from r2mae.training.checkpoint_io import FolderCheckpointIO
    from r2mae.training.throughput import DataWait

    hardware = recipe.hardware
    torch.set_float32_matmul_precision("high" if hardware.tf32 else "highest")
    return lightning.Trainer(
        accelerator=choose_accelerator(recipe),
        devices=num_visible_devices(recipe),
        num_nodes=hardware.nodes,
        strategy=_strategy(recipe, share_buffers),
        precision=hardware.precision,
        deterministic=hardware.deterministic or None,
        max_epochs=1,  # the stream has no epochs: one pass over its positions is the whole training
        accumulate_grad_batches=plan.accumulation,
        logger=loggers,
        callbacks=callbacks,
        profiler=DataWait(),
        plugins=[FolderCheckpointIO(), _cluster()],
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
    )


def _check_launcher(recipe: AnyRecipe) -> None:
    """Lightning would start this process's whole command again as each of the other ranks."""
    hardware = recipe.hardware
    if read_launch().launcher == "none" and hardware.replicas > 1:
        raise InputError(
            "hardware.devices must be 1 without a launcher, "
            f"got {hardware.replicas}. Use r2mae pretrain or finetune, or torchrun."
        )


def _strategy(recipe: AnyRecipe, share_buffers: bool) -> Any:
    """DDP or FSDP where there is more than one process."""
    from r2mae.training.strategies import OrderedDDPStrategy, ShardedStrategy

    hardware = recipe.hardware
    world_size = hardware.nodes * hardware.devices
    timeout = timedelta(seconds=hardware.timeout_seconds)
    if world_size == 1:
        return "auto"
    if hardware.strategy == "fsdp":
        return ShardedStrategy(world_size, timeout)
    return OrderedDDPStrategy(
        gradient_as_bucket_view=True,
        broadcast_buffers=share_buffers,
        timeout=timeout,
    )


def build_loggers(recipe: AnyRecipe, folder: RunFolder, run_id: str) -> list[Any]:
    """What the recipe logs to.

    Raises: InputError where wandb is not logged in.
    """
    from r2mae.training.guarded_logger import GuardedLogger
    from r2mae.training.progress import CsvLogger

    loggers: list[Any] = [CsvLogger(folder)] if "csv" in recipe.log else []
    if "tensorboard" in recipe.log:
        import tensorboard  # noqa: F401 - torch's message would not name the extra

        from r2mae.training.tensorboard_run import TensorBoardRun

        loggers.append(GuardedLogger("tensorboard", TensorBoardRun(folder)))
    with_checkpoint = "wandb_checkpoint" in recipe.log
    if "wandb" in recipe.log or with_checkpoint:
        import wandb

        from r2mae.training.wandb_run import WandbRun

        if (
            os.environ.get("WANDB_MODE") not in ("offline", "disabled", "dryrun")
            and not wandb.api.api_key
        ):
            raise InputError(
                "log: wandb must be logged in, got no API key. Run wandb login, or set WANDB_MODE=offline."
            )
        run = WandbRun(folder, run_id or folder.name, with_checkpoint)
        loggers.append(GuardedLogger("wandb", run))
    return loggers


def close_loggers(trainer: Any) -> None:
    """Close wandb's run and TensorBoard's file."""
    from r2mae.training.guarded_logger import GuardedLogger

    for logger in trainer.loggers:
        if isinstance(logger, GuardedLogger):
            logger.close()


def is_first_process() -> bool:
    """True for rank 0, which writes files; works before a process group exists."""
    return read_launch().is_first


def _cluster() -> Any:
    """Which launcher started the processes; Lightning would mistake a batch script without srun for a SLURM step."""
    from pytorch_lightning.plugins.environments import (
        LightningEnvironment,
        TorchElasticEnvironment,
    )

    from r2mae.training.slurm import SlurmStep

    launcher = read_launch().launcher
    if launcher == "torchrun":
        return TorchElasticEnvironment()
    return SlurmStep() if launcher == "slurm" else LightningEnvironment()


def _quiet_lightning() -> None:
    """Silence Lightning's banners and hints: they suggest other values for what the engine sets on purpose."""
    for name in (
        "pytorch_lightning",
        "lightning.pytorch",
        "lightning.fabric",
        "lightning_fabric",
    ):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning.*")
    warnings.filterwarnings("ignore", module="lightning_fabric.*")
    # The patch projection's gradient arrives permuted, which costs DDP one small copy a step.
    warnings.filterwarnings("ignore", message="Grad strides do not match")
    # torch's replacement, forward_sync_buffers, would still send them at the start.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
