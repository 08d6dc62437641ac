"""Operations of training, for the utilization that a run logs."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from r2mae.data.source import SampleSource
from r2mae.recipe.assembly import build_outline
from r2mae.schema.recipe import AnyRecipe

_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)  # visible; costs between them are interpolated


def training_flops(
    recipe: AnyRecipe, train: SampleSource, num_classes: int | None
) -> Callable[[float | None], float]:
    """Operations of forward and backward for a token, by the share that is visible.

    For a sample in fine-tuning, where the share is None. Measured at the first call.
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
    recipe: AnyRecipe, train: SampleSource, num_classes: int | None
) -> dict[float, float]:
    """{visible share: operations}; fine-tuning has the share 1 alone."""
    model = recipe.model.model_copy(update={"init_from": None})
    outline: Any = build_outline(
        recipe.model_copy(update={"model": model}), num_classes
    )
    if recipe.task == "finetune":
        rows = torch.arange(2) % len(train)
        # With positions, as training reads samples: augmented and mixed.
        return {1.0: outline.training_flops(train.load(rows, rows, 0))}
    size = math.prod(outline.grid)
    counts = [max(1, round(share * size)) for share in _SHARES]
    return {count / size: outline.training_flops(count) / size for count in counts}
