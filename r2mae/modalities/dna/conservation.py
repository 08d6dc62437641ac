"""What hidden bases weigh in a loss, and which labels are replaced, by repeats and conservation.

Shapes: B samples, N positions. phyloP and phastCons are nan where a track has no number: phyloP counts as 0 there,
phastCons as 0.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

from r2mae.masking.rng import RandomStream, bits, uniforms

NUM_BASES = 4


@dataclass(frozen=True)
class Conservation:
    """Weights of positions and shares of replaced labels; the defaults weigh all alike and replace none.

    Source: Benegas et al. 2025 (GPN-MSA): repeat_weight 0.1, phylop, phastcons_floor 0.1, smooth 7, flip_below 0.1,
    flip_share 0.5. Differs: at a window's ends, smoothing takes the neighbours that there are.
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
        """(B, N) float32: repeat * max(phyloP, 1) * (floor + smoothed phastCons), of each what is asked for."""
        found = torch.where(is_repeat, self.repeat_weight, 1.0)
        if self.phylop:
            assert phylop is not None
            found = found * phylop.nan_to_num(0.0).clamp(min=1)
        if self.phastcons_floor is not None:
            assert phastcons is not None
            found = found * (self.phastcons_floor + smoothed(phastcons, self.smooth))
        return found

    def labels(
        self, bases: Tensor, phastcons: Tensor | None, seed: int, positions: Tensor
    ) -> Tensor:
        """(B, N) bases, a share of the unconserved ones replaced by one of four, as a function of (seed, position)."""
        if not self.flip_share:
            return bases
        assert phastcons is not None
        # Counters beyond those of `replace_hidden`.
        place, at = (
            torch.arange(bases.shape[1]) + 2 * bases.shape[1],
            positions[:, None],
        )
        is_flipped = uniforms(seed, RandomStream.REPLACE, at, place) < self.flip_share
        picks = (bits(seed, RandomStream.REPLACE, at, place + bases.shape[1]) >> 1) & (
            (1 << 62) - 1
        )
        unconserved = smoothed(phastcons, self.smooth) < self.flip_below
        return torch.where(
            is_flipped & unconserved & (bases < NUM_BASES), picks % NUM_BASES, bases
        )


def smoothed(track: Tensor, width: int) -> Tensor:
    """(B, N) the greatest of `width` (odd) neighbours at each position of track (B, N)."""
    return F.max_pool1d(
        track.nan_to_num(0.0)[:, None], width, stride=1, padding=width // 2
    )[:, 0]
