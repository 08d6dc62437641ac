"""One optimizer step from top to bottom. `Engine`'s hooks only call it; the order is this:

    for each micro-batch of this rank:
        (DataLoader worker) Objective.prepare: draw mask ratios and masks
        start               set the learning rate, seed dropout, copy BatchNorm's statistics
        forward             loss summed over hidden positions, over a constant
        (Lightning)         backward; DDP averages the gradients of all ranks
    finish_gradients        all-reduce (sum, count), rescale, clip, mark a non-finite step
    (Lightning)             AdamW, which changes nothing in a marked step
    finish                  restore BatchNorm's statistics in a marked step, report

Losses are (sum, count), so every hidden position weighs the same however a step is split into micro-batches and
ranks. Nothing here waits for the device.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from r2mae.data.source import Batch
from r2mae.masking.rng import RandomStream, host_bits
from r2mae.training.objective import Objective
from r2mae.training.optimizer import LearningRate
from r2mae.training.sharded import complete


@dataclass(frozen=True)
class StepSettings:
    """Settings of a step, from the recipe.

    global_samples: samples of a step, over all ranks and micro-batches.
    per_device_samples: samples of a micro-batch of one rank.
    clip_norm: greatest norm of the gradients; None does not clip.
    stop_when_nonfinite: after a non-finite step no later step changes the weights either.
    """

    global_samples: int
    per_device_samples: int
    learning_rate: LearningRate
    clip_norm: float | None
    stop_when_nonfinite: bool = True


@dataclass
class StepReport:
    """What a finished step reports. Tensors stay on the device; reading one waits for the step."""

    step: int  # steps done, this one included
    loss: Tensor  # () mean over masked positions or samples, of all ranks and micro-batches
    num_visible: int  # visible tokens of this rank, 0 where nothing is hidden
    mask_ratio: float | None  # hidden share of this rank's tokens
    lr: float
    grad_norm: Tensor  # () before clipping
    skipped: Tensor  # () 1 if the weights did not change: this step, or one before it, was not finite


class TrainingStep:
    """The step in progress. Between steps only `_skip` and the copies of BatchNorm's statistics remain."""

    def __init__(
        self, model: nn.Module, objective: Objective, settings: StepSettings
    ) -> None:
        self.model = model
        self.objective = objective
        self.settings = settings
        self._skip: Tensor | None = None  # () 1 in a step that must change nothing
        self._batch_norm: list[tuple[Tensor, Tensor]] = []  # statistics, their copies
        self._reset()

    def _reset(self) -> None:
        self._step = -1
        self._sums: Tensor | None = None  # (2,) loss and count, over micro-batches
        self._num_visible = self._num_tokens = 0
        self._grad_norm: Tensor | None = None

    def copy_batch_norm(self) -> None:
        """Make room for copies of BatchNorm's statistics; to be called once the model is on its device."""
        self._batch_norm = [
            (buffer, buffer.clone())
            for module in self.model.modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm)
            for buffer in module.buffers()
        ]

    # --- each micro-batch

    def start(self, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
        """Set the learning rate, and seed what draws from torch's global generator (dropout)."""
        self._step = self._number(batch)
        for group in optimizer.param_groups:
            scale = group.get("lr_scale", 1.0)
            group["lr"] = self.settings.learning_rate.at(self._step) * scale
        bits = host_bits(
            self.objective.seed, RandomStream.DROPOUT, batch["first_position"]
        )
        torch.manual_seed(bits >> 1)
        if self._sums is None:  # the step's first micro-batch
            for statistics, copy in self._batch_norm:
                copy.copy_(statistics)

    def forward(self, batch: Batch) -> Tensor:
        """() the loss sum divided by a constant, for backward. `finish_gradients` divides by the count."""
        loss = self.objective.loss(self.model, batch)
        sums = torch.stack([loss.total.detach().float(), loss.count.detach().float()])
        self._sums = sums if self._sums is None else self._sums + sums
        self._num_visible += batch.get("num_visible", 0)
        self._num_tokens += batch.get("num_tokens", 0)
        # Any constant that all ranks and micro-batches share would do.
        return loss.total / self.settings.per_device_samples

    # --- after the last micro-batch's backward

    def finish_gradients(
        self, optimizer: torch.optim.Optimizer, world_size: int, accumulation: int
    ) -> None:
        """Gradients of the mean loss, clipped; a step that is not finite is marked for AdamW to skip.

        world_size, accumulation: DDP and Lightning have divided the gradients by both.
        """
        assert self._sums is not None
        if world_size > 1:
            dist.all_reduce(self._sums)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        divided_by = world_size * accumulation * self.settings.per_device_samples
        torch._foreach_mul_(gradients, divided_by / _at_least_one(self._sums[1]))
        self._grad_norm = complete(nn.utils.get_total_norm(gradients))
        if self.settings.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(
                parameters, self.settings.clip_norm, self._grad_norm
            )
        self._skip = self._is_nonfinite(self._grad_norm, self._sums)
        # Fused AdamW changes no weight, moment or step count if this is 1.
        optimizer.found_inf = self._skip  # type: ignore[attr-defined]

    def _is_nonfinite(self, grad_norm: Tensor, sums: Tensor) -> Tensor:
        """() 1 where this step, or with `stop_when_nonfinite` one before it, is not finite.

        So the weights from before the first such step survive until its report is read.
        """
        skip = (~torch.isfinite(torch.stack([grad_norm, *sums])).all()).float()
        if self.settings.stop_when_nonfinite and self._skip is not None:
            skip = torch.maximum(skip, self._skip)
        return skip

    # --- after AdamW

    def finish(self) -> StepReport:
        """Undo what a skipped step did to BatchNorm, and report; the next step starts anew."""
        assert self._sums is not None
        assert self._grad_norm is not None
        assert self._skip is not None
        for statistics, copy in self._batch_norm:
            statistics.copy_(torch.where(self._skip.bool(), copy, statistics))
        visible, tokens = self._num_visible, self._num_tokens
        report = StepReport(
            step=self._step + 1,
            loss=self._sums[0] / _at_least_one(self._sums[1]),
            num_visible=visible,
            mask_ratio=1 - visible / tokens if tokens else None,
            lr=self.settings.learning_rate.at(self._step),
            grad_norm=self._grad_norm,
            skipped=self._skip,
        )
        self._reset()
        return report

    def _number(self, batch: dict[str, Any]) -> int:
        """The step, from 0, that a micro-batch belongs to."""
        number: int = batch["first_position"] // self.settings.global_samples
        return number


def _at_least_one(count: Tensor) -> Tensor:
    """Hidden positions to divide by; 1 in a step that hides nothing, whose loss and gradients are 0."""
    return count.where(count != 0, 1)
