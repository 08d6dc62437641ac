"""Base callback for validation: when it runs, and how ranks share the held-out samples."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as lightning
import torch

from r2mae.data.reader import read_plain
from r2mae.data.source import Batch, SampleSource
from r2mae.models.precision import autocast
from r2mae.progress import print_above_bars
from r2mae.training.metric_log import LOSS_AT, metric_title
from r2mae.training.module import Engine
from r2mae.training.sharded import gathered


class ValidationCallback(lightning.Callback, ABC):
    """Validates every `every_steps` steps and at the end; logs the metrics and sets them on the engine.

    at_start: also before the first step.
    workers: processes that read held-out samples; 0 reads them in the training process.
    """

    def __init__(
        self,
        held_out: SampleSource,
        every_steps: int,
        samples: int,
        batch_size: int,
        *,
        at_start: bool = False,
        workers: int = 0,
    ) -> None:
        self.held_out = held_out
        self.every_steps = every_steps
        self.samples = samples
        self.batch_size = batch_size
        self.at_start = at_start
        self.workers = workers
        self.skipped: set[str] = set()

    @abstractmethod
    def measure(
        self, trainer: lightning.Trainer, pl_module: Engine, step: int
    ) -> dict[str, float]:
        """Metrics, the same on every rank; `set_validation_loss` is called where a loss is measured."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Engine) -> None:
        """Validate what training starts from."""
        if self.at_start and pl_module.steps_done == 0:
            self._validate(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Engine,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Validate when due."""
        step = pl_module.steps_done
        due = step % self.every_steps == 0 or step == pl_module.num_steps
        if pl_module.report is not None and due:
            self._validate(trainer, pl_module)

    def _validate(self, trainer: lightning.Trainer, pl_module: Engine) -> None:
        """Measure in evaluation mode, and log."""
        step = pl_module.steps_done
        pl_module.validation_loss = None  # until `measure` sets that of this step
        pl_module.eval()
        precision = autocast(pl_module.device.type, trainer.precision)
        with torch.no_grad(), precision, gathered(pl_module.model):
            metrics = self.measure(trainer, pl_module, step)
        pl_module.train()
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step)
        if trainer.is_global_zero:
            print_above_bars(f"step {step}/{pl_module.num_steps}: {describe(metrics)}")
        pl_module.latest_metrics, pl_module.validated_step = metrics, step
        pl_module.skipped |= self.skipped

    @staticmethod
    def set_validation_loss(pl_module: Engine, loss: float, step: int) -> None:
        """Set the held-out loss that `CheckpointCallback` reads and the manifest of that step's checkpoint records."""
        pl_module.validation_loss, pl_module.validated_step = loss, step

    def batches(
        self, source: SampleSource, device: torch.device, rank: int, world_size: int
    ) -> Iterator[Batch]:
        """Plain views of the first `samples` of a source, this rank's share; "rows" says which."""
        mine = torch.arange(min(self.samples, len(source)))[rank::world_size]
        read = read_plain(source, mine, self.batch_size, device, self.workers)
        for batch, part in zip(read, mine.split(self.batch_size), strict=False):
            self.skipped.update(batch.get("skipped", ()))
            yield batch | {"rows": part}


def describe(metrics: dict[str, float]) -> str:
    """Metrics as a line: `validation loss 0.4012 (0.3310 at 0.25), kNN accuracy 0.7130`."""
    at_ratios = []
    parts = []
    for name, value in metrics.items():
        if name.startswith(LOSS_AT):
            at_ratios.append(f"{value:.4f} at {name.removeprefix(LOSS_AT)}")
            continue
        text = f"{metric_title(name)} {value:.4f}"
        if name == "validation/loss" and at_ratios:
            text += f" ({', '.join(at_ratios)})"
        parts.append(text)
    return ", ".join(parts)
