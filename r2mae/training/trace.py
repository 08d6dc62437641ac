"""trace.jsonl: samples, masks and loss of every step, to compare runs; one row per sample, ordered by position."""

import hashlib
import json
from typing import Any

import pytorch_lightning as lightning
import torch.distributed as dist
from torch import Tensor

from r2mae.data.atomic import write_atomic
from r2mae.data.source import Batch
from r2mae.training.module import Engine
from r2mae.training.run_folder import RunFolder


class Trace(lightning.Callback):
    """Writes {"step", "position", "index", "ratio", "mask", "loss"} for every sample that a step consumed.

    step: from 1. index: of the sample that was read. ratio: the share of its tokens that was hidden. mask: a hash of
    which. loss: the step's, over all ranks. Every step waits for the device: for comparing runs, not for speed.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._rows: list[dict[str, Any]] = []

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Engine) -> None:
        """Drop the rows of steps that a continued run repeats."""
        if trainer.is_global_zero and self.folder.trace.is_file():
            kept = [
                row
                for row in read_trace(self.folder)
                if row["step"] <= pl_module.start_step
            ]
            write_atomic(
                self.folder.trace, "".join(json.dumps(row) + "\n" for row in kept)
            )

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: Engine,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Note a micro-batch of this rank."""
        hidden = batch["mask"].is_masked.cpu()
        columns = zip(
            batch["positions"].tolist(), batch["indices"].tolist(), hidden, strict=True
        )
        self._rows += [
            {
                "step": pl_module.steps_done + 1,
                "position": position,
                "index": index,
                "ratio": float(is_masked.double().mean()),
                "mask": mask_hash(is_masked),
            }
            for position, index, is_masked in columns
        ]

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Engine,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Gather a finished step from all ranks; the first one writes it."""
        if pl_module.report is None:
            return
        rows: list[list[dict[str, Any]]] = [self._rows]
        if trainer.world_size > 1:
            rows = [[] for _ in range(trainer.world_size)]
            dist.all_gather_object(rows, self._rows)
        self._rows = []
        if trainer.is_global_zero:
            loss = float(pl_module.report.loss)
            ordered = sorted(
                (row for some in rows for row in some),
                key=lambda row: int(row["position"]),
            )
            with self.folder.trace.open("a") as file:
                file.writelines(
                    json.dumps(row | {"loss": loss}) + "\n" for row in ordered
                )


def mask_hash(is_masked: Tensor) -> str:
    """A hash, 16 hexadecimal digits, of which of (N,) tokens are masked."""
    return hashlib.blake2b(is_masked.cpu().numpy().tobytes(), digest_size=8).hexdigest()


def read_trace(folder: RunFolder) -> list[dict[str, Any]]:
    """The rows of a run's trace; a last line that a kill cut short is left out."""
    if not folder.trace.is_file():
        return []
    complete, _, _ = folder.trace.read_text().rpartition("\n")
    return [json.loads(line) for line in complete.splitlines()]
