"""Which ratio: the law's draw for a step or a sample, taken on the host in float64."""

import torch
from torch import Tensor

from r2mae.law import MaskLaw
from r2mae.masking.rng import RandomStream, host_uniform, uniforms


def draw_step_ratio(law: MaskLaw, seed: int, step: int, progress: float) -> float:
    """The ratio that every rank hides at a step: one equally likely level, a function of (seed, step).

    Args:
        law: the mask-ratio law; its scope is not asked.
        seed: of the run.
        step: optimizer step.
        progress: share of training done, in [0, 1], which the law's schedule reads.
    """
    levels = law.table(progress)
    return float(
        levels[int(host_uniform(seed, RandomStream.RATIO, step) * len(levels))]
    )


def draw_ratios(
    law: MaskLaw, seed: int, step: int, progress: float, positions: Tensor
) -> Tensor:
    """The ratio of every sample of a micro-batch, (B,) float64, following the law's scope.

    Scope "step" gives all the same draw; scope "sample" draws by position in the stream.
    """
    if law.scope == "step":
        ratio = draw_step_ratio(law, seed, step, progress)
        return torch.full(positions.shape, ratio, dtype=torch.float64)
    levels = torch.from_numpy(law.table(progress))
    draws = uniforms(seed, RandomStream.RATIO, positions, torch.ones_like(positions))
    return levels[(draws * len(levels)).long()]
