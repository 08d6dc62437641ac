"""Mixup and CutMix of neighbours in the stream, a function of (seed, position).

The number of devices and workers changes nothing.

Shapes: B images, an even number, where 2k and 2k + 1 are partners; C channels,
h x w pixels.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.masking.rng import RandomStream, uniforms
from r2mae.modalities.vision.schema import TuningAugmentSection


def mix_pairs(
    images: Tensor, positions: Tensor, seed: int, augment: TuningAugmentSection
) -> tuple[Tensor, Tensor]:
    """(mixed images (B, C, h, w) uint8, share (B,) of its own label that each keeps).

    images: (B, C, h, w) uint8 at positions (B,) of the stream, the first of them even.

    Source: Zhang et al. 2018 (mixup), Yun et al. 2019 (CutMix). Differs: partners are
    neighbours in the stream, not a shuffle of the batch.
    """
    assert len(images) % 2 == 0
    assert int(positions[0]) % 2 == 0
    pair = positions // 2
    draws = uniforms(seed, RandomStream.MIX, pair[:, None], torch.arange(4)).numpy()
    cuts = draws[:, 0] < _cut_probability(augment)
    mixed_share = _beta(draws[:, 1], augment.mixup)
    share = np.where(cuts, _beta(draws[:, 1], augment.cutmix), mixed_share)
    shape = (len(images), *images.shape[2:])
    # The weight of each pixel of the image itself; its partner's is 1 - keep.
    keep = torch.from_numpy(np.broadcast_to(share[:, None, None], shape).copy())
    for row in np.flatnonzero(cuts):
        keep[row] = 1.0
        top, left = draws[row, 2], draws[row, 3]
        height, width = images.shape[2:]
        inside = _box(height, width, float(share[row]), top, left)
        keep[row][inside] = 0.0
    partners = images.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    weight = keep[:, None].float()
    mixed = (images * weight + partners * (1 - weight)).round().to(torch.uint8)
    return mixed, keep.mean(dim=(1, 2)).float()


def _cut_probability(augment: TuningAugmentSection) -> float:
    if augment.mixup > 0 and augment.cutmix > 0:
        return 0.5
    return 1.0 if augment.cutmix > 0 else 0.0


def _beta(uniform: npt.NDArray[np.float64], alpha: float) -> npt.NDArray[np.float64]:
    """Beta(alpha, alpha) draws from uniform ones, by the inverse CDF; ones for alpha 0."""
    from scipy.special import betaincinv

    return (
        np.asarray(betaincinv(alpha, alpha, uniform))
        if alpha > 0
        else np.ones_like(uniform)
    )


def _box(
    height: int, width: int, share: float, top: float, left: float
) -> tuple[slice, slice]:
    """A box of area fraction 1 - share around (top, left), clipped at the border."""
    half = (1 - share) ** 0.5 / 2
    rows, columns = (
        slice(
            max(0, round(centre * size - half * size)),
            max(0, round(centre * size + half * size)),
        )
        for centre, size in ((top, height), (left, width))
    )
    return rows, columns
