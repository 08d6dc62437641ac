"""Says in plain words when a masked model of names (tokens, bases) has learnt nothing."""

import math
import sys
from typing import Any

import pytorch_lightning as lightning
import torch

from r2mae.data.source import SampleSource
from r2mae.masking.pattern import Role, build_mask
from r2mae.training.module import Engine
from r2mae.training.run_folder import RunFolder

_NEAR = 0.01  # of the order-0 entropy
_ROWS, _NAMES = (
    256,
    1 << 20,
)  # that are counted: as many rows, or more until they hold as many names


def order_0_entropy(model: Any, source: SampleSource) -> float:
    """Nats a name, of how frequent names are among those of a source that may be hidden: a million of them, about.

    Source: Miller 1955, for names that are too rare to be counted.
    """
    wanted = max(_ROWS, _NAMES // math.prod(model.grid))
    rows = torch.linspace(
        0, len(source) - 1, min(wanted, len(source)), dtype=torch.float64
    ).long()
    counts = torch.zeros(0, dtype=torch.float64)
    for part in rows.split(32):
        batch = source.load(part, None, 0)
        eligible = model.eligible(batch)
        is_hideable = (
            eligible if eligible.dtype == torch.bool else eligible == Role.HIDEABLE
        )
        found = torch.bincount(
            model.named_targets(batch, build_mask(is_hideable))[0],
            minlength=len(counts),
        ).double()
        counts = found + torch.nn.functional.pad(counts, (0, len(found) - len(counts)))
    shares = counts[counts > 0] / counts.sum()
    return float(
        -(shares * shares.log()).sum() + (len(shares) - 1) / (2 * counts.sum())
    )


class Learnt(lightning.Callback):
    """Compares held-out loss and order-0 entropy, once a tenth of training and warm-up are over, and at the end.

    Held-out targets are all hidden, so a loss near the entropy means that visible names told nothing: a loss of
    training would not show it, where some targets stay in sight. Comes after `Watch`. What it finds stands in run.json
    as "learnt_nothing".
    """

    def __init__(
        self, train: SampleSource, folder: RunFolder, warmup_steps: int
    ) -> None:
        self.train = train
        self.folder = folder
        self.warmup_steps = warmup_steps
        self.entropy: float | None = None

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Engine,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Look at the first measurement after a tenth and warm-up, and at the last one."""
        step, last = pl_module.steps_done, pl_module.num_steps
        is_measured = (
            pl_module.report is not None and pl_module.validated_step == step > 0
        )
        is_early = 10 * step < last or (step <= self.warmup_steps and step < last)
        if not is_measured or is_early or (self.entropy is not None and step < last):
            return
        if not trainer.is_global_zero:
            return
        self.entropy = self.entropy or order_0_entropy(pl_module.model, self.train)
        for logger in trainer.loggers:
            logger.log_metrics({"validation/order_0_loss": self.entropy}, step)
        loss = pl_module.validation_loss
        assert loss is not None
        learnt_nothing = loss > (1 - _NEAR) * self.entropy
        self.folder.write_status(learnt_nothing=learnt_nothing)
        if learnt_nothing:
            so_far = "" if step == last else " so far"
            print(
                f"{self.folder.path}: this run has learnt nothing{so_far}: at step {step} of {last} its held-out loss "
                f"is {loss:.4f}, and {self.entropy:.4f} is what names cost by how frequent they are alone. "
                "Look at optimizer.lr, mask.ratio and the data.",
                file=sys.stderr,
                flush=True,
            )
