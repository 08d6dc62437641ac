"""Draws the mask ratio of a step or a sample from the law, on the CPU in float64."""

import torch
from torch import Tensor

from r2mae.law import MaskLaw
from r2mae.masking.rng import RandomStream, bits, host_uniform, uniforms


def draw_step_ratio(law: MaskLaw, seed: int, step: int, progress: float) -> float:
    """The mask ratio of a step, the same on every rank.

    It is one of the law's equally likely levels and depends on (seed, step) alone.

    Args:
        law: the mask-ratio law; its scope is ignored.
        seed: of the run.
        step: optimizer step.
        progress: of training, in [0, 1], for the law's schedule.
    """
    levels = law.table(progress)
    uniform = host_uniform(seed, RandomStream.RATIO, step)
    return float(levels[int(uniform * len(levels))])


def draw_ratios(
    law: MaskLaw, seed: int, step: int, progress: float, positions: Tensor
) -> Tensor:
    """The mask ratio of each sample of a micro-batch, (B,) float64.

    Scope "step" gives all samples the same ratio. Scope "sample" draws one per sample.
    Scope "stratified" cuts the stream into groups of as many positions as there are
    levels; each group holds each level once, in an order of its own.

    Args:
        law: the mask-ratio law.
        seed: of the run.
        step: optimizer step.
        progress: of training, in [0, 1], for the law's schedule.
        positions: (B,) int64, of the samples in the stream.
    """
    if law.scope == "step":
        ratio = draw_step_ratio(law, seed, step, progress)
        return torch.full(positions.shape, ratio, dtype=torch.float64)
    levels = torch.from_numpy(law.table(progress))
    if law.scope == "stratified":
        return levels[_level_in_group(seed, positions, len(levels))]
    # Token 1, because token 0 of this stream is the draw of a step.
    draws = uniforms(seed, RandomStream.RATIO, positions, torch.ones_like(positions))
    return levels[(draws * len(levels)).long()]


def _level_in_group(seed: int, positions: Tensor, num_levels: int) -> Tensor:
    """(B,) int64 level of each sample: a permutation of all levels in each group."""
    groups = positions // num_levels
    # Tokens from 2 on: 0 and 1 of this stream are the draws of a step and of a sample.
    tokens = torch.arange(2, 2 + num_levels)
    keys = bits(seed, RandomStream.RATIO, groups[:, None], tokens)
    levels = keys.argsort(dim=1)
    return levels.gather(1, (positions % num_levels)[:, None])[:, 0]
