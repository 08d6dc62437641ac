"""Loss weights and label replacement by repeats, phyloP and phastCons, as in GPN-MSA.

Shapes: B samples, N positions. Missing values (nan) of phyloP and phastCons count as 0.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

from r2mae.masking.rng import RandomStream, bits, uniforms

NUM_BASES = 4


@dataclass(frozen=True)
class Conservation:
    """Loss weights of positions, and replaced labels; by default uniform, and none.

    repeat_weight: weight of soft-masked bases.
    phylop: whether to multiply by max(phyloP, 1).
    phastcons_floor: added to smoothed phastCons, then multiplied; None: not used.
    smooth: width (odd) of the running maximum of phastCons.
    flip_below, flip_share: smoothed phastCons below which this share of labels is random.

    Source: Benegas et al. 2025 (GPN-MSA): repeat_weight 0.1, phylop, phastcons_floor 0.1,
    smooth 7, flip_below 0.1, flip_share 0.5. Differs: at a window's ends, smoothing uses
    fewer neighbours.
    """

    repeat_weight: float = 1.0
    phylop: bool = False
    phastcons_floor: float | None = None
    smooth: int = 7
    flip_below: float = 0.1
    flip_share: float = 0.0

    def weights(
        self, is_repeat: Tensor, phylop: Tensor | None, phastcons: Tensor | None
    ) -> Tensor:
        """(B, N) float32: repeat * max(phyloP, 1) * (floor + smoothed phastCons), as set."""
        weights = torch.where(is_repeat, self.repeat_weight, 1.0)
        if self.phylop:
            assert phylop is not None
            weights = weights * phylop.nan_to_num(0.0).clamp(min=1)
        if self.phastcons_floor is not None:
            assert phastcons is not None
            conserved = smoothed(phastcons, self.smooth)
            weights = weights * (self.phastcons_floor + conserved)
        return weights

    def labels(
        self, bases: Tensor, phastcons: Tensor | None, seed: int, positions: Tensor
    ) -> Tensor:
        """(B, N) bases; a share of unconserved ones is random, a function of (seed, position)."""
        if not self.flip_share:
            return bases
        assert phastcons is not None
        # Counters after those of `replace_hidden`, to draw independently of it.
        length = bases.shape[1]
        place = torch.arange(length) + 2 * length
        at = positions[:, None]
        is_flipped = uniforms(seed, RandomStream.REPLACE, at, place) < self.flip_share
        drawn = bits(seed, RandomStream.REPLACE, at, place + length)
        picks = ((drawn >> 1) & ((1 << 62) - 1)) % NUM_BASES
        unconserved = smoothed(phastcons, self.smooth) < self.flip_below
        is_replaced = is_flipped & unconserved & (bases < NUM_BASES)
        return torch.where(is_replaced, picks, bases)


def smoothed(track: Tensor, width: int) -> Tensor:
    """(B, N) maximum of track (B, N) over `width` (odd) positions around each."""
    channels = track.nan_to_num(0.0)[:, None]
    maxima = F.max_pool1d(channels, width, stride=1, padding=width // 2)
    return maxima[:, 0]
