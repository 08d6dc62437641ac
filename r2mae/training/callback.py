"""Callbacks for training from Python."""

from typing import Any

import pytorch_lightning as lightning

from r2mae.training.module import Engine
from r2mae.training.step import StepReport


class Callback:
    """Subclass it and pass objects as `r2mae.pretrain(..., callbacks=[...])`; called on every rank.

    engine: has `model`, `steps_done`, `num_steps` and `latest_metrics`.
    report: tensors in it stay on the device; `float(report.loss)` waits for the step to end.
    """

    def on_train_start(self, engine: Engine) -> None:
        """Before the first step of this process."""

    def on_step_end(self, engine: Engine, report: StepReport) -> None:
        """After every optimizer step and its validation, before a checkpoint of it is saved."""

    def on_train_end(self, engine: Engine) -> None:
        """After the last step."""


class CallbackAdapter(lightning.Callback):
    """Calls a `Callback` from Lightning's hooks."""

    def __init__(self, callback: Callback) -> None:
        self.callback = callback

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Engine) -> None:
        """Training starts."""
        self.callback.on_train_start(pl_module)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Engine,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """A step ends with its last micro-batch."""
        if pl_module.report is not None:
            self.callback.on_step_end(pl_module, pl_module.report)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Engine) -> None:
        """Training ends."""
        self.callback.on_train_end(pl_module)
