"""Evaluation masks: the same for all runs, steps and laws, so that scores are comparable."""

from typing import Any

import torch

from r2mae.masking.mask import Mask
from r2mae.masking.pattern import sample_mask
from r2mae.models.protocol import MaskedModel

FROZEN_SEED = 0x5EED  # of evaluation masks; independent of the run's seed


def frozen_mask(model: MaskedModel, batch: dict[str, Any], ratio: float) -> Mask:
    """The evaluation mask of a batch, random, a function of sample index and ratio only."""
    masking, indices = model.masking, batch["indices"]
    eligible = masking.eligible(batch)
    ratios = torch.full(indices.shape, ratio, dtype=torch.float64)
    grid = (eligible.shape[1],)  # not used by a random pattern
    return sample_mask(
        "random", eligible, ratios, FROZEN_SEED, indices, grid, gather=masking.gathers
    )
