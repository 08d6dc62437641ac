"""Operations of training, for the utilization that a run logs."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from r2mae.data.source import SampleSource
from r2mae.modalities import find_wing
from r2mae.recipe.assembly import build_outline
from r2mae.recipe.plan import MeasurementCost
from r2mae.schema.recipe import AnyRecipe
from r2mae.training.run_folder import is_here

Flops = Callable[[float | None], float]
_FORWARD = 1 / 3  # of the operations of forward and backward
_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)  # visible; costs between them are interpolated


def training_flops(
    recipe: AnyRecipe, train: SampleSource | None, num_classes: int | None
) -> Flops:
    """Operations of forward and backward for a token, by the share that is visible.

    For a sample in fine-tuning, where the share is None. Measured at the first call.

    train: needed for fine-tuning alone.
    """
    costs: dict[float, float] = {}

    def flops(visible_share: float | None) -> float:
        if not costs:
            costs.update(_measure(recipe, train, num_classes))
        if visible_share is None:
            return costs[1.0]
        return float(np.interp(visible_share, list(costs), list(costs.values())))

    return flops


def _measure(
    recipe: AnyRecipe, train: SampleSource | None, num_classes: int | None
) -> dict[float, float]:
    """{visible share: operations}; fine-tuning has the share 1 alone."""
    outline: Any = build_outline(_without_start(recipe), num_classes)
    if recipe.task == "finetune":
        assert train is not None
        rows = torch.arange(2) % len(train)
        # With positions, as training reads samples: augmented and mixed.
        return {1.0: outline.training_flops(train.load(rows, rows, 0))}
    size = math.prod(outline.grid)
    counts = [max(1, round(share * size)) for share in _SHARES]
    return {count / size: outline.training_flops(count) / size for count in counts}


def measurement_cost(
    recipe: Any, flops: Flops, train_samples: int, has_labels: bool
) -> MeasurementCost:
    """Cost of one measurement by its number of samples, in training steps.

    Counts forward passes: of held-out samples at each ratio, and of both splits for
    features. Probes and pictures are left out.
    """
    held_out_share = recipe.data.held_out
    held_out = round(train_samples * held_out_share / (1 - held_out_share))
    batch = recipe.batch.global_samples
    if recipe.task == "finetune":
        return lambda samples: min(samples, held_out) * _FORWARD / batch
    watch = recipe.watch
    is_probed = has_labels and (watch.knn or watch.linear_probe)

    def cost(samples: int) -> float:
        ratios = recipe.mask.law.table(0.5).tolist()
        step = batch * sum(flops(1 - ratio) for ratio in ratios) / len(ratios)
        used = min(samples, held_out)
        work = 0.0
        if watch.validation:
            work += used * sum(flops(1 - ratio) for ratio in watch.ratios)
        if is_probed or watch.effective_rank:
            work += used * flops(1.0)
        if is_probed:
            work += min(samples, train_samples) * flops(1.0)
        return float(work * _FORWARD / step)

    return cost


def _without_start(recipe: AnyRecipe) -> AnyRecipe:
    """The recipe without `init_from`; what that decides, such as the architecture, is filled in."""
    model = recipe.model.model_copy(update={"init_from": None})
    bare = recipe.model_copy(update={"model": model})
    if not is_here(recipe.model.init_from):
        return bare
    wing = find_wing(recipe.modality)
    return wing.with_checkpoint_facts(bare, wing.checkpoint_facts(recipe))
