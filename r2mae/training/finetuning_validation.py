"""Validation while fine-tuning: held-out loss, and accuracy of a classifier."""

from typing import Any

import pytorch_lightning as lightning
import torch
import torch.distributed as dist

from r2mae.training.module import Engine
from r2mae.training.validation_callback import ValidationCallback


class FinetuningValidation(ValidationCallback):
    """Means of the metrics of a `LabelObjective` over held-out samples."""

    def measure(
        self, trainer: lightning.Trainer, pl_module: Engine, step: int
    ) -> dict[str, float]:
        """validation/loss and the other measures, over all ranks."""
        device, objective = pl_module.device, pl_module.objective
        measures: Any = objective.measures  # type: ignore[attr-defined]
        sums = torch.zeros(len(measures) + 1, dtype=torch.float64, device=device)
        for batch in self.batches(
            self.held_out, device, trainer.global_rank, trainer.world_size
        ):
            on_host = batch | {"indices": batch["indices"].cpu()}
            prepared = objective.prepare(on_host, step)
            targets = prepared["targets"].to(device)
            sums[:-1] += objective.sum_measures(pl_module.model(batch).float(), targets)  # type: ignore[attr-defined]
            sums[-1] += len(targets)
        if trainer.world_size > 1:
            dist.all_reduce(sums)
        means = (sums[:-1] / sums[-1]).tolist()
        self.set_validation_loss(pl_module, means[0], step)
        return {
            f"validation/{name}": mean
            for name, mean in zip(measures, means, strict=True)
        }
