"""The LightningModule: a model, its stream of samples, and the hooks that run a step.

A step itself is in `step.py`. Everything random is a function of the step or of positions in the stream, so state
is weights, optimizer moments and the number of steps done.
"""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from r2mae.data.source import Batch, StreamDataset, as_is, check_loaded
from r2mae.data.stream import MicroBatches
from r2mae.data.worker import set_up_worker
from r2mae.training.ema import MovingAverage
from r2mae.training.objective import Objective
from r2mae.training.optimizer import load_optimizer_tensors, optimizer_tensors
from r2mae.training.sharded import shard
from r2mae.training.step import StepReport, StepSettings, TrainingStep
from r2mae.training.strategies import OrderedDDP, ShardedStrategy


class PreparedStream(torch.utils.data.Dataset[Batch]):
    """Batches with their masks, made in DataLoader workers."""

    def __init__(
        self, dataset: StreamDataset, objective: Objective, global_samples: int
    ) -> None:
        self.dataset = dataset
        self.objective = objective
        self.global_samples = global_samples

    def __getitems__(self, positions: list[int]) -> Batch:
        batch = self.dataset.__getitems__(positions)
        if "error" in batch:
            return batch
        return self.objective.prepare(batch, positions[0] // self.global_samples)


class Engine(lightning.LightningModule):
    """Trains a model on a stream, from step `start_step` (set by a checkpoint) to `num_steps`."""

    def __init__(
        self,
        model: nn.Module,
        *,
        objective: Objective,
        dataset: StreamDataset,
        settings: StepSettings,
        build_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
        num_workers: int,
        description: dict[str, Any],
        moving_average: MovingAverage | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.dataset = dataset
        self.settings = settings
        self.build_optimizer = build_optimizer
        self.num_workers = num_workers
        self.description = description
        self.moving_average = moving_average
        self.step = TrainingStep(model, objective, settings)
        self.num_steps = settings.learning_rate.num_steps
        self.start_step = 0
        self.steps_done = 0
        self.report: StepReport | None = None  # of the step that has just ended
        # Samples that could not be read: of all ranks up to the last save, then of this one.
        self.skipped: set[str] = set()
        self.skipped_steps = 0
        self.latest_metrics: dict[str, float] = {}
        self.validation_loss: float | None = None
        self.validated_step = 0
        self._loaded_optimizer: dict[str, Tensor] | None = None
        self._loaded_average: dict[str, Tensor] | None = None

    # --- the stream

    def train_dataloader(self) -> DataLoader[Batch]:
        """Micro-batches of this rank from `start_step` on; no loader state exists to be saved."""
        micro_batches = MicroBatches(
            self.settings.global_samples,
            self.settings.per_device_samples,
            self.num_steps,
            self.start_step,
            self.trainer.global_rank,
            self.trainer.world_size,
        )
        return DataLoader(
            PreparedStream(self.dataset, self.objective, self.settings.global_samples),
            batch_sampler=micro_batches,  # type: ignore[arg-type]
            collate_fn=as_is,  # type: ignore[arg-type]
            num_workers=self.num_workers,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=set_up_worker,
        )

    # --- the step, in the order of `step.py`

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Raise the error that a DataLoader worker met."""
        return check_loaded(batch)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate and the seed of dropout."""
        self.report = None
        assert (
            batch["first_position"] // self.settings.global_samples == self.steps_done
        )
        self.step.start(batch, self.trainer.optimizers[0])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Forward; Lightning calls backward on what this returns."""
        self.skipped.update(batch.get("skipped", ()))
        return self.step.forward(batch)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Rescale and clip the gradients after the last backward."""
        accumulation = self.trainer.accumulate_grad_batches
        self.step.finish_gradients(optimizer, self.trainer.world_size, accumulation)

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: gradients are clipped already. Lightning's own clipping refuses fused AdamW under bf16."""

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Let AdamW update (the call runs the last micro-batch first), and leave a report for callbacks."""
        super().optimizer_step(*args, **kwargs)
        self.report = self.step.finish()
        self.steps_done += 1
        if self.moving_average is not None:
            self.moving_average.update(self.steps_done, self.report.skipped)

    # --- state

    def configure_model(self) -> None:
        """Divide the parameters where the strategy does."""
        if isinstance(self.trainer.strategy, ShardedStrategy):
            assert self.device_mesh is not None
            shard(self.model, self.device_mesh["data_parallel"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over the model."""
        return self.build_optimizer(self.model)

    def on_train_start(self) -> None:
        """Load the optimizer tensors of a checkpoint, now that the optimizer exists."""
        self.step.copy_batch_norm()
        if isinstance(self.trainer.strategy.model, OrderedDDP):
            self.trainer.strategy.model.fix_buckets()
        if self._loaded_optimizer is not None:
            load_optimizer_tensors(
                self, self.trainer.optimizers[0], self._loaded_optimizer
            )
            self._loaded_optimizer = None
        if self.moving_average is not None:
            self.moving_average.start(self, self._loaded_average)
            self._loaded_average = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the optimizer tensors and the moving average, named after their parameters, and the description."""
        checkpoint["optimizer_tensors"] = optimizer_tensors(
            self, self.trainer.optimizers[0]
        )
        if self.moving_average is not None:
            checkpoint["moving_average"] = self.moving_average.tensors
        checkpoint["description"] = self.description | {
            "step": self.steps_done,
            "samples": self.steps_done * self.settings.global_samples,
            "skipped_steps": self.skipped_steps,
            "skipped_samples": sorted(self.skipped),
        }
        if self.validated_step == self.steps_done:
            checkpoint["description"]["metrics"] = self.latest_metrics
            if self.validation_loss is not None:
                checkpoint["description"]["validation_loss"] = self.validation_loss

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Start at the checkpoint's step. Lightning's loop state is not restored: accumulation may have changed."""
        self.start_step = self.steps_done = int(checkpoint["description"]["step"])
        self.skipped_steps = int(checkpoint["description"].get("skipped_steps", 0))
        self.skipped = set(checkpoint["description"].get("skipped_samples", ()))
        self.latest_metrics = dict(checkpoint["description"].get("metrics", {}))
        self._loaded_optimizer = checkpoint["optimizer_tensors"]
        self._loaded_average = checkpoint.get("moving_average")
        progress = self.trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
        progress.ready = progress.completed = self.start_step
