"""What masked models of images share: square patches, their targets, pictures of what was predicted.

Shapes: B images, C channels, S x S pixels, N patches, P = p * p * C values of a patch, M hidden patches.
"""

from typing import Any

import torch
from torch import Tensor

from r2mae.errors import InputError
from r2mae.masking.pattern import Mask
from r2mae.modalities.vision.models.image_encoder import ImageEncoder

_EPSILON = 1e-6


class PatchedImages(ImageEncoder):
    """An image encoder whose input is hidden by square patches; what `MaskedModel` wants beside forward and costs.

    grid: patches in (rows, columns); patch_size: pixels a side; normalize_targets: predict standard scores.

    Raises: InputError for normalised targets of a single value.
    """

    gathers = True

    def __init__(
        self,
        encoder: Any,
        *,
        grid: tuple[int, int],
        patch_size: int,
        normalize_targets: bool,
        pixel_mean: tuple[float, ...],
        pixel_std: tuple[float, ...],
    ) -> None:
        super().__init__(encoder, pixel_mean=pixel_mean, pixel_std=pixel_std)
        self.grid = grid
        self.patch_size = patch_size
        self.normalize_targets = normalize_targets
        if normalize_targets and len(pixel_mean) * patch_size**2 == 1:
            raise InputError(
                "model.normalize_targets must be false for patches of a single value, got true."
            )

    def eligible(self, batch: dict[str, Any]) -> Tensor:
        """Every patch may be hidden: (B, N) bool."""
        images = batch["images"]
        return torch.ones(
            len(images),
            self.grid[0] * self.grid[1],
            dtype=torch.bool,
            device=images.device,
        )

    def tokens(self, batch: dict[str, Any]) -> Tensor:
        """(B, N, P) the values of every patch as they were read, not standardised."""
        return self.patchify(batch["images"].float())

    def patchify(self, pixels: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, N, P), a patch's values ordered row, column, channel."""
        return split_cells(pixels, self.patch_size)

    def unpatchify(self, patches: Tensor) -> Tensor:
        """(B, N, P) -> (B, C, S, S), the inverse of `patchify`."""
        return join_cells(patches, self.grid, self.patch_size)

    def targets(self, patches: Tensor) -> Tensor:
        """What is predicted for patches (..., P): their values, or each patch's own standard scores."""
        if not self.normalize_targets:
            return patches
        mean, spread = self._mean_and_spread(patches)
        return (patches - mean) / spread

    def paint(self, batch: dict[str, Any], mask: Mask) -> Tensor:
        """(B, 3, C, S, S) uint8: the original, what was given, and that with predictions in the gaps.

        Normalised predictions are shown with the hidden patches' own mean and spread, which the model never saw.
        """
        patches = self.patchify(self.pixels(batch))
        predicted = self.forward(batch, mask).predictions.float()
        hidden = gather_tokens(patches, mask.masked)
        if self.normalize_targets:
            mean, spread = self._mean_and_spread(hidden)
            predicted = predicted * spread + mean
        where = mask.masked[:, :, None].expand_as(hidden)
        given = patches.masked_fill(mask.is_masked[:, :, None], 0.0)
        filled = patches.scatter(1, where, predicted.to(patches.dtype))
        pictures = torch.stack(
            [self.unpatchify(panel) for panel in (patches, given, filled)], dim=1
        )
        pixels = (pictures * self.pixel_std + self.pixel_mean) * 255
        return pixels.round().clamp(0, 255).to(torch.uint8)

    @staticmethod
    def _mean_and_spread(patches: Tensor) -> tuple[Tensor, Tensor]:
        """(..., 1) each, in float32 at least: half precision has no digits left for a variance.

        Taken about each patch's first value, so that a constant patch has its very value as mean and scores of 0.
        """
        patches = patches.to(torch.promote_types(patches.dtype, torch.float32))
        first = patches[..., :1]
        around = patches - first
        mean = first + around.mean(dim=-1, keepdim=True)
        return mean, (around.var(dim=-1, keepdim=True) + _EPSILON).sqrt()


def split_cells(pixels: Tensor, size: int) -> Tensor:
    """(B, C, S, S) -> (B, N, size * size * C): square cells in reading order, values ordered row, column, channel."""
    split = pixels.unflatten(2, (-1, size)).unflatten(4, (-1, size))
    cells: Tensor = split.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    return cells


def join_cells(cells: Tensor, grid: tuple[int, int], size: int) -> Tensor:
    """(B, N, size * size * C) -> (B, C, S, S), the inverse of `split_cells`."""
    split = cells.unflatten(1, grid).unflatten(3, (size, size, -1))
    pixels: Tensor = split.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)
    return pixels


def gather_tokens(tokens: Tensor, indices: Tensor) -> Tensor:
    """tokens (B, N, D) at indices (B, n) -> (B, n, D)."""
    return tokens.gather(1, indices[:, :, None].expand(-1, -1, tokens.shape[2]))
