"""The only LightningModule. It knows an `Objective` and a model, and neither task nor modality.

Everything random is a function of the step or of positions in the stream, so state is weights, optimizer moments
and the number of steps done. Losses come as (sum, count): gradients are normalised once, by the global count.
"""

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import pytorch_lightning as lightning
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader

from r2mae.data.source import Batch, StreamDataset, as_is
from r2mae.data.stream import MicroBatches
from r2mae.errors import InputError
from r2mae.masking.rng import RandomStream, host_bits
from r2mae.training.checkpoint import load_optimizer_tensors, optimizer_tensors
from r2mae.training.objective import Objective
from r2mae.training.optimizer import LearningRate


@dataclass
class StepReport:
    """What a finished step leaves to be read; tensors stay on the device until somebody asks."""

    step: int  # steps done, this one included
    loss: Tensor  # () mean over all that counts, of all ranks and micro-batches
    num_visible: int  # visible tokens of this rank, 0 where nothing is hidden
    mask_ratio: float | None  # hidden share of this rank's tokens
    lr: float
    grad_norm: Tensor  # () before clipping
    skipped: Tensor  # () 1 where the update was not made: its loss or gradient was not finite, or one before was not


class Engine(lightning.LightningModule):
    """Trains a model on a stream, from step `start_step` (set by a checkpoint) to `num_steps`."""

    def __init__(
        self,
        model: nn.Module,
        *,
        objective: Objective,
        dataset: StreamDataset,
        global_samples: int,
        per_device_samples: int,
        learning_rate: LearningRate,
        build_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
        clip_norm: float | None,
        stop_when_nonfinite: bool = True,
        num_workers: int,
        description: dict[str, Any],
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.dataset = dataset
        self.global_samples = global_samples
        self.per_device_samples = per_device_samples
        self.learning_rate = learning_rate
        self.build_optimizer = build_optimizer
        self.clip_norm = clip_norm
        self.stop_when_nonfinite = stop_when_nonfinite
        self.num_workers = num_workers
        self.description = description
        self.num_steps = learning_rate.num_steps
        self.start_step = 0
        self.steps_done = 0
        self.report: StepReport | None = None
        self.skipped: set[str] = set()  # samples that could not be read
        self.skipped_steps = 0
        self.latest_metrics: dict[str, float] = {}
        self.validation_loss: float | None = None
        self.validated_step = 0
        self._sums: Tensor | None = None
        self._tokens = [0, 0]
        self._grad_norm: Tensor | None = None
        self._skip: Tensor | None = None
        self._running: list[
            tuple[Tensor, Tensor]
        ] = []  # BatchNorm's statistics, and what they were before the step
        self._loaded_optimizer: dict[str, Tensor] | None = None

    # --- the stream

    def train_dataloader(self) -> DataLoader[Batch]:
        """Micro-batches of this rank from `start_step` on; no loader state exists to be saved."""
        micro_batches = MicroBatches(
            self.global_samples,
            self.per_device_samples,
            self.num_steps,
            self.start_step,
            self.trainer.global_rank,
            self.trainer.world_size,
        )
        return DataLoader(
            self.dataset,
            batch_sampler=micro_batches,  # type: ignore[arg-type]
            collate_fn=as_is,  # type: ignore[arg-type]
            num_workers=self.num_workers,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=_follow_the_parent,
        )

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:  # noqa: ARG002
        """Let the objective draw, while everything is still on the host."""
        if "error" in batch:
            raise InputError(batch["error"])
        return self.objective.prepare(
            self.model, batch, batch["first_position"] // self.global_samples
        )

    # --- the step

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Set the step's learning rate, and reseed what still draws from global state (dropout)."""
        self.report = None
        step = batch["first_position"] // self.global_samples
        assert step == self.steps_done
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = self.learning_rate.at(step) * group.get("lr_scale", 1.0)
        torch.manual_seed(
            host_bits(
                self.objective.seed, RandomStream.DROPOUT, batch["first_position"]
            )
            >> 1
        )
        if self._sums is None:
            for now, before in self._running:
                before.copy_(now)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Backward starts from the loss sum over a constant; `on_before_optimizer_step` puts the count in."""
        loss = self.objective.loss(self.model, batch)
        sums = torch.stack([loss.total.detach().float(), loss.count.detach().float()])
        self._sums = sums if self._sums is None else self._sums + sums
        self._tokens[0] += batch.get("num_visible", 0)
        self._tokens[1] += batch.get("num_tokens", 0)
        self.skipped.update(batch.get("skipped", ()))
        # Any constant that all ranks and micro-batches share would do.
        return loss.total / self.per_device_samples

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Turn the gradient of sum / constant, averaged by DDP and accumulation, into that of sum / global count."""
        assert self._sums is not None
        if self.trainer.world_size > 1:
            dist.all_reduce(self._sums)
        summands = self.trainer.world_size * self.trainer.accumulate_grad_batches
        gradients = [
            p.grad
            for group in optimizer.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        torch._foreach_mul_(
            gradients, summands * self.per_device_samples / _one_at_least(self._sums[1])
        )

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,  # noqa: ARG002 - Lightning's own refuses fused AdamW under bf16
        gradient_clip_algorithm: str | None = None,  # noqa: ARG002
    ) -> None:
        """Clip the global norm, and let a step that is not finite change nothing; all on the device, nobody waits.

        When training is to stop at such a step, no later one changes anything either: the weights before it survive
        until somebody reads the report.
        """
        assert self._sums is not None
        parameters = [
            parameter
            for group in optimizer.param_groups
            for parameter in group["params"]
        ]
        norm = nn.utils.get_total_norm(
            [parameter.grad for parameter in parameters if parameter.grad is not None]
        )
        if self.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(parameters, self.clip_norm, norm)
        skip = (~torch.isfinite(torch.stack([norm, *self._sums])).all()).float()
        if self.stop_when_nonfinite and self._skip is not None:
            skip = torch.maximum(skip, self._skip)
        # Fused AdamW leaves weights, moments and its own count of steps alone where this is 1.
        optimizer.found_inf = skip  # type: ignore[attr-defined]
        self._grad_norm, self._skip = norm, skip

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Update, then leave a report for the callbacks and start the next step's sums."""
        super().optimizer_step(*args, **kwargs)
        assert self._sums is not None
        assert self._grad_norm is not None
        assert self._skip is not None
        for now, before in self._running:
            now.copy_(torch.where(self._skip.bool(), before, now))
        visible, tokens = self._tokens
        self.report = StepReport(
            step=self.steps_done + 1,
            loss=self._sums[0] / _one_at_least(self._sums[1]),
            num_visible=visible,
            mask_ratio=1 - visible / tokens if tokens else None,
            lr=self.learning_rate.at(self.steps_done),
            grad_norm=self._grad_norm,
            skipped=self._skip,
        )
        self.steps_done += 1
        self._sums, self._tokens, self._grad_norm = None, [0, 0], None

    # --- state

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over the model."""
        return self.build_optimizer(self.model)

    def on_train_start(self) -> None:
        """Put a checkpoint's optimizer tensors in place, now that the optimizer exists."""
        norms = [
            module
            for module in self.modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm)
        ]
        if self.trainer.world_size > 1:
            # DDP regroups gradients after its first step, which rounds their sums anew; done now, a continued run has
            # the groups of one that never stopped.
            reducer = self.trainer.strategy.model.reducer  # type: ignore[union-attr]
            reducer._push_all_rebuilt_params()  # type: ignore[operator, union-attr]
            reducer._rebuild_buckets()  # type: ignore[operator, union-attr]
        self._running = [
            (buffer, buffer.clone()) for norm in norms for buffer in norm.buffers()
        ]
        if self._loaded_optimizer is not None:
            load_optimizer_tensors(
                self, self.trainer.optimizers[0], self._loaded_optimizer
            )
            self._loaded_optimizer = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Name the optimizer's tensors after their parameters, and say what this checkpoint is."""
        checkpoint["optimizer_tensors"] = optimizer_tensors(
            self, self.trainer.optimizers[0]
        )
        checkpoint["description"] = self.description | {
            "step": self.steps_done,
            "samples": self.steps_done * self.global_samples,
            "skipped_steps": self.skipped_steps,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Start at the checkpoint's step. Lightning's loop state is not restored: accumulation may have changed."""
        self.start_step = self.steps_done = int(checkpoint["description"]["step"])
        self.skipped_steps = int(checkpoint["description"].get("skipped_steps", 0))
        self._loaded_optimizer = checkpoint["optimizer_tensors"]
        progress = self.trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
        progress.ready = progress.completed = self.start_step


def _follow_the_parent(worker: int) -> None:  # noqa: ARG001
    """The training process decides what Ctrl-C means; its workers end with it, without a word of their own.

    A thread of multiprocessing that hands batches over reports a lost connection through sys.excepthook: it is the
    parent that died, which its supervisor says in one line.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    report = sys.excepthook

    def ignore_lost_parent(
        kind: type[BaseException], error: BaseException, where: TracebackType | None
    ) -> None:
        if not issubclass(kind, (ConnectionError, EOFError)):
            report(kind, error, where)

    sys.excepthook = ignore_lost_parent


def _one_at_least(count: Tensor) -> Tensor:
    """Hidden positions to divide by; 1 where a step had none to hide, whose loss and gradients are 0 then."""
    return count.where(count != 0, 1)
