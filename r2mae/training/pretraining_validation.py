"""Validation while pretraining: held-out loss under frozen masks, kNN, linear probe, rank, pictures.

Held-out samples and their masks are the same at every measurement, for every seed and every law, so numbers compare.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as lightning
import torch
import torch.distributed as dist
from torch import Tensor

from r2mae.data.source import (
    Batch,
    SampleSource,
    batch_labels,
    has_labels,
    load_plain,
    move,
)
from r2mae.masking.mask import Mask
from r2mae.metrics.knn import knn_accuracy
from r2mae.metrics.linear_probe import linear_probe_accuracy
from r2mae.metrics.rank import effective_rank
from r2mae.models.frozen_mask import FROZEN_SEED, frozen_mask
from r2mae.models.protocol import MaskedModel, PredictsClasses
from r2mae.training.module import Engine
from r2mae.training.pictures import save_pictures
from r2mae.training.run_folder import RunFolder
from r2mae.training.validation_callback import ValidationCallback

_NUM_PICTURES = 6


def frozen_corruption(model: MaskedModel, batch: Batch, mask: Mask) -> Batch:
    """What training adds to a masked batch, such as random tokens in place of [MASK].

    A function of the samples' indices and the mask. Computed on the host, as in training.
    """
    device = batch["indices"].device
    on_host = move(batch | {"positions": batch["indices"]}, torch.device("cpu"))
    host_mask = mask._replace(is_masked=mask.is_masked.cpu())
    return move(model.masking.corrupt(on_host, host_mask, FROZEN_SEED), device)


@dataclass(frozen=True)
class ValidationSettings:
    """Which metrics, on how many samples, at which mask ratios, how often."""

    every_steps: int
    samples: int
    ratios: tuple[float, ...]
    validation: bool = True
    knn: bool = True
    linear_probe: bool = True
    effective_rank: bool = True
    pictures: bool = True


class PretrainingValidation(ValidationCallback):
    """Validates a masked model; `CheckpointCallback` chooses the best checkpoint by held-out loss."""

    def __init__(
        self,
        settings: ValidationSettings,
        train: SampleSource,
        held_out: SampleSource,
        folder: RunFolder,
        batch_size: int,
        *,
        at_start: bool = False,
        workers: int = 0,
    ) -> None:
        super().__init__(
            held_out,
            settings.every_steps,
            settings.samples,
            batch_size,
            at_start=at_start,
            workers=workers,
        )
        self.settings = settings
        self.train = train
        self.folder = folder

    def measure(
        self, trainer: lightning.Trainer, pl_module: Engine, step: int
    ) -> dict[str, float]:
        """All metrics of the settings, the same numbers on every rank."""
        model: Any = pl_module.model
        settings, device = self.settings, pl_module.device
        rank, world_size = trainer.global_rank, trainer.world_size
        metrics: dict[str, float] = {}
        if settings.validation:
            ratio = _ratio_of_training(pl_module, step)
            *losses, as_trained = self._losses(model, device, rank, world_size, ratio)
            metrics |= {
                f"validation/loss_at_{ratio:g}": loss
                for ratio, loss in zip(settings.ratios, losses, strict=True)
            }
            metrics["validation/loss"] = float(np.mean(losses))
            if ratio is not None:
                metrics["validation/loss_as_trained"] = as_trained
            if isinstance(model, PredictsClasses):  # losses are cross-entropies in nats
                metrics["validation/perplexity"] = math.exp(
                    min(metrics["validation/loss"], 700)
                )
            self.set_validation_loss(pl_module, metrics["validation/loss"], step)
        metrics |= self._probes(model, device, rank, world_size)
        if settings.pictures and rank == 0:
            first = torch.arange(min(_NUM_PICTURES, len(self.held_out)))
            batch = load_plain(self.held_out, first, device)
            ratios = _three(settings.ratios)
            masks = [frozen_mask(model, batch, ratio) for ratio in ratios]
            path = self.folder.pictures / f"step_{step}.png"
            save_pictures(model, batch, masks, path)
        return metrics

    def _losses(
        self,
        model: Any,
        device: torch.device,
        rank: int,
        world_size: int,
        as_trained: float | None,
    ) -> list[float]:
        """Held-out loss at each ratio of the grid, over all ranks; then one as trained.

        as_trained: ratio of the last, whose input is corrupted as in training; None for
            no such loss, nan.
        """
        ratios = self.settings.ratios
        sums = torch.zeros(len(ratios) + 1, 2, dtype=torch.float64, device=device)
        for batch in self.batches(self.held_out, device, rank, world_size):
            for row, ratio in enumerate(ratios):
                loss = model(batch, frozen_mask(model, batch, ratio)).loss
                sums[row] += torch.stack([loss.total.double(), loss.count.double()])
            if as_trained is not None:
                mask = frozen_mask(model, batch, as_trained)
                corrupted = batch | frozen_corruption(model, batch, mask)
                loss = model(corrupted, mask).loss
                sums[-1] += torch.stack([loss.total.double(), loss.count.double()])
        if world_size > 1:
            dist.all_reduce(sums)
        losses = sums[:, 0] / sums[:, 1]
        return [float(loss) for loss in losses.tolist()]

    def _probes(
        self, model: Any, device: torch.device, rank: int, world_size: int
    ) -> dict[str, float]:
        """kNN and linear probe from training to held-out features, and the features' effective rank."""
        settings, metrics = self.settings, dict[str, float]()
        labelled = has_labels(self.train) and has_labels(self.held_out)
        probing = labelled and (settings.knn or settings.linear_probe)
        if not probing and not settings.effective_rank:
            return metrics
        test, test_labels = self._features(
            self.held_out, model, device, rank, world_size
        )
        if not np.isfinite(test).all():
            return metrics  # the flight recorder reports it
        if settings.effective_rank:
            metrics["probe/effective_rank"] = effective_rank(test)
        if probing:
            train, train_labels = self._features(
                self.train, model, device, rank, world_size
            )
            is_labelled = train_labels >= 0
            train, train_labels = train[is_labelled], train_labels[is_labelled]
            is_labelled = test_labels >= 0
            test, test_labels = test[is_labelled], test_labels[is_labelled]
            if len(np.unique(train_labels)) < 2 or not len(test):
                return metrics  # a probe needs two classes
            if settings.knn:
                metrics["probe/knn"] = knn_accuracy(
                    train, train_labels, test, test_labels
                )
            if settings.linear_probe:
                metrics["probe/linear"] = linear_probe_accuracy(
                    train, train_labels, test, test_labels
                )
        return metrics

    def _features(
        self,
        source: SampleSource,
        model: Any,
        device: torch.device,
        rank: int,
        world_size: int,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Features and labels of the watched samples, gathered in index order whatever the number of ranks."""
        labelled = has_labels(source)
        rows: list[tuple[Tensor, Tensor, Tensor]] = []
        for batch in self.batches(source, device, rank, world_size):
            here = batch["rows"]
            labels = torch.zeros_like(here)
            if labelled:
                labels = torch.from_numpy(batch_labels(source, batch))
            features = model.embed(batch).float().cpu()
            rows.append((features, here, labels))
        parts: list[Any] = [
            tuple(map(torch.cat, zip(*rows, strict=True))) if rows else None
        ]
        if world_size > 1:
            gathered: list[Any] = [None] * world_size
            dist.all_gather_object(gathered, parts[0])
            parts = [part for part in gathered if part is not None]
        features, order, labels = (
            torch.cat(column) for column in zip(*parts, strict=True)
        )
        ascending = order.argsort()
        return features[ascending].numpy(), labels[ascending].numpy()


def _ratio_of_training(pl_module: Engine, step: int) -> float | None:
    """Mean ratio of the law at a step, where training leaves hidden tokens visible.

    None where training hides all of them, as the held-out loss does.
    """
    model: Any = pl_module.model
    replacement = getattr(model.masking, "replacement", (1.0, 0.0))
    if replacement[0] >= 1:
        return None
    law = pl_module.objective.law  # type: ignore[attr-defined]
    return float(law.table(step / pl_module.num_steps).mean())


def _three(ratios: tuple[float, ...]) -> tuple[float, ...]:
    """Least, middle and greatest of a grid."""
    ordered = sorted(set(ratios))
    return tuple(sorted({ordered[0], ordered[len(ordered) // 2], ordered[-1]}))
