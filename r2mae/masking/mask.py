"""A drawn mask, and the indices that gather its visible and masked positions.

Shapes: B samples, N token positions, V visible, M masked.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Mask(NamedTuple):
    """Which positions are masked, and the indices to gather visible and masked ones.

    The shapes carry the counts V and M, so that no device has to be synchronised to read
    them. Rows with fewer positions are padded: their last index repeats, with weight 0.
    For models that gather nothing there are no indices, V = M = 0.
    """

    is_masked: Tensor  # (B, N) bool
    visible: Tensor  # (B, V) int64, ascending
    masked: Tensor  # (B, M) int64, ascending
    visible_weight: Tensor | None = None  # (B, V) bool; None when no row is padded
    # (B, M) weights in the loss: bool, or float with sample weights; None for 1.
    masked_weight: Tensor | None = None
    # B numbers of visible positions, on the host; None when no row is padded.
    visible_counts: tuple[int, ...] | None = None
    # (B,) float32 weight of each sample's masked positions in the loss; None for 1.
    sample_weight: Tensor | None = None

    @property
    def is_visible(self) -> Tensor:
        """(B, V) bool: which of `visible` are positions, not padding."""
        if self.visible_weight is not None:
            return self.visible_weight
        return torch.ones_like(self.visible, dtype=torch.bool)

    def with_sample_weight(self, weight: Tensor) -> "Mask":
        """The mask whose positions have the loss weight (B,) of their sample."""
        weights = weight[:, None].expand(self.masked.shape)
        if self.masked_weight is not None:
            weights = weights * self.masked_weight
        return self._replace(sample_weight=weight, masked_weight=weights)

    def weight_at(self, slots: Tensor) -> Tensor | None:
        """(M,) loss weights at slots (M,) of the flattened rows; None for 1."""
        if self.sample_weight is None:
            return None
        return self.sample_weight[slots // self.is_masked.shape[1]]


def build_mask(
    is_masked: Tensor, is_visible: Tensor | None = None, *, gather: bool = True
) -> Mask:
    """The `Mask` of is_masked (B, N) bool, with gather indices.

    is_visible: (B, N) bool; None where every other position is visible.
    """
    if not gather:
        empty = is_masked.new_empty(len(is_masked), 0, dtype=torch.int64)
        return Mask(is_masked, empty, empty)
    is_visible = ~is_masked if is_visible is None else is_visible
    visible, visible_weight, visible_counts = _indices(is_visible)
    masked, masked_weight, _ = _indices(is_masked)
    return Mask(
        is_masked, visible, masked, visible_weight, masked_weight, visible_counts
    )


def _indices(chosen: Tensor) -> tuple[Tensor, Tensor | None, tuple[int, ...] | None]:
    """(indices, weight, counts per row) of chosen (B, N) bool.

    weight and counts are None where no row needs padding.
    """
    counts = chosen.sum(dim=1)
    most = int(counts.max())
    if most == int(counts.min()):
        return chosen.nonzero()[:, 1].view(len(chosen), most), None, None
    return *_padded(chosen, most), tuple(counts.tolist())


def _padded(chosen: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Indices (B, length) of chosen (B, N), the last one repeated, and their weight."""
    counts = chosen.sum(dim=1, keepdim=True)
    slots = torch.arange(length, device=chosen.device)
    indices = (~chosen).long().argsort(dim=1, stable=True)[:, :length]
    last = indices.gather(1, (counts - 1).clamp(min=0))
    weight = slots < counts
    return torch.where(weight, indices, last), weight
