"""Held-out loss and accuracy of a classifier while it is trained."""

import pytorch_lightning as lightning
import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - torch's own habit

from r2mae.training.measure import Measure
from r2mae.training.module import Engine


class Judge(Measure):
    """Plain cross-entropy and the share of right answers, without smoothing, weights or mixing."""

    def measure(self, trainer: lightning.Trainer, pl_module: Engine, step: int) -> dict[str, float]:
        """validation/loss and validation/accuracy, over all ranks."""
        device = pl_module.device
        sums = torch.zeros(3, dtype=torch.float64, device=device)
        for batch in self.batches(self.held_out, device, trainer.global_rank, trainer.world_size):
            asked = pl_module.objective.prepare(pl_module.model, batch | {"indices": batch["indices"].cpu()}, step)
            targets = asked["targets"].to(device)
            logits = pl_module.model(batch).float()
            right = (logits.argmax(dim=1) == targets).sum()
            loss = F.cross_entropy(logits, targets, reduction="sum")
            sums += torch.stack([loss.double(), right.double(), torch.full_like(loss, len(targets)).double()])
        if trainer.world_size > 1:
            dist.all_reduce(sums)
        loss, right, count = sums.tolist()
        self.judge(pl_module, loss / count, step)
        return {"validation/loss": loss / count, "validation/accuracy": right / count}
