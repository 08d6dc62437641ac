"""Shared by the masked models of images: patches, their targets, pictures of predictions.

Shapes: B images, C channels, H x W pixels, N patches of P = p * p * C values,
M hidden patches.
"""

from typing import Any

import torch
from torch import Tensor

from r2mae.errors import InputError
from r2mae.masking.loss import masked_squared_error
from r2mae.masking.mask import Mask
from r2mae.modalities.vision.models.image_encoder import ImageEncoder
from r2mae.models.masking_rules import EveryPosition, MaskingRules
from r2mae.models.protocol import MaskedOutput

_EPSILON = 1e-6


class PatchedImages(ImageEncoder):
    """An image encoder with square patches as positions.

    Implements `MaskedModel` but for forward and the costs.

    grid: number of patches in (rows, columns). patch_size: pixels of a patch's side.
    normalize_targets: predict pixels standardised per patch (MAE's norm_pix_loss).

    Raises: InputError for normalised targets of a single value.
    """

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
                "model.normalize_targets must be false for patches of a single value, "
                "got true."
            )

    @property
    def masking(self) -> MaskingRules:
        """Every patch may be masked."""
        return EveryPosition(self.grid)

    def tokens(self, batch: dict[str, Any]) -> Tensor:
        """(B, N, P) pixel values of every patch as read, 0 to 255."""
        return self.patchify(batch["images"].float())

    def baseline(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, C * H * W) standardised pixels, NaN in hidden patches."""
        pixels = self.pixels(batch)
        if mask is not None:
            is_masked = mask.is_masked[:, :, None]
            patches = self.patchify(pixels).masked_fill(is_masked, torch.nan)
            pixels = self.unpatchify(patches)
        return pixels.flatten(1)

    def patchify(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, P), the values of a patch ordered row, column, channel."""
        return split_cells(pixels, self.patch_size)

    def unpatchify(self, patches: Tensor) -> Tensor:
        """(B, N, P) -> (B, C, H, W), the inverse of `patchify`."""
        return join_cells(patches, self.grid, self.patch_size)

    def targets(self, patches: Tensor) -> Tensor:
        """Targets of patches (..., P): their values, or these standardised per patch."""
        if not self.normalize_targets:
            return patches
        mean, std = self._mean_and_std(patches)
        return (patches - mean) / std

    def compare(self, patches: Tensor, predictions: Tensor, mask: Mask) -> MaskedOutput:
        """Squared error of predictions (B, M, P) for the hidden ones of patches."""
        targets = self.targets(gather_tokens(patches, mask.masked))
        loss = masked_squared_error(predictions, targets, mask.masked_weight)
        return MaskedOutput(loss, predictions)

    def paint(self, batch: dict[str, Any], mask: Mask) -> Tensor:
        """(B, 3, C, H, W) uint8: original, masked, and masked with predictions filled in.

        Standardised predictions are shown with a mean and standard deviation that are
        interpolated from visible patches: those of a hidden patch are never used.
        """
        patches = self.patchify(self.pixels(batch))
        predicted = self.forward(batch, mask).predictions.float()
        hidden = gather_tokens(patches, mask.masked)
        if self.normalize_targets:
            mean, std = self._interpolate_statistics(patches, mask)
            predicted = predicted * std + mean
        indices = mask.masked[:, :, None].expand_as(hidden)
        masked = patches.masked_fill(mask.is_masked[:, :, None], 0.0)
        filled = patches.scatter(1, indices, predicted.to(patches.dtype))
        panels = [self.unpatchify(panel) for panel in (patches, masked, filled)]
        pictures = torch.stack(panels, dim=1)
        pixels = (pictures * self.pixel_std + self.pixel_mean) * 255
        return pixels.round().clamp(0, 255).to(torch.uint8)

    @property
    def picture_note(self) -> str:
        """Caption of a picture: what in it is not predicted by the model."""
        if not self.normalize_targets:
            return ""
        return (
            "The model predicts standardised patches. Their brightness and contrast are "
            "interpolated from visible patches."
        )

    def _interpolate_statistics(
        self, patches: Tensor, mask: Mask
    ) -> tuple[Tensor, Tensor]:
        """(mean, standard deviation) (B, M, 1) for hidden patches, from visible ones.

        Visible patches weigh distance^-4. Without any, those of the pixel statistics.
        """
        mean, std = self._mean_and_std(patches)
        rows, columns = (
            torch.arange(size, device=patches.device, dtype=mean.dtype)
            for size in self.grid
        )
        places = torch.cartesian_prod(rows, columns)  # (N, 2)
        squares = (places[:, None] - places).square().sum(dim=2)
        weights = squares.clamp(min=1.0) ** -2
        is_visible = ~mask.is_masked[:, None, :]  # (B, 1, N)
        weights = weights * is_visible  # (B, N, N)
        total = weights.sum(dim=2, keepdim=True)
        has_visible = total > 0
        total = total.masked_fill(~has_visible, 1.0)
        means = torch.where(is_visible[:, 0, :, None], mean, 0.0)
        stds = torch.where(is_visible[:, 0, :, None], std, 0.0)
        # Not matrix products, which autocast would round to bf16.
        mean = (weights * means.mT).sum(dim=2, keepdim=True) / total
        std = (weights * stds.mT).sum(dim=2, keepdim=True) / total
        std = torch.where(has_visible, std, 1.0)
        return gather_tokens(mean, mask.masked), gather_tokens(std, mask.masked)

    @staticmethod
    def _mean_and_std(patches: Tensor) -> tuple[Tensor, Tensor]:
        """(mean, standard deviation) of each patch, (..., 1), in float32 or float64."""
        # Half precision has too few digits for a variance.
        patches = patches.to(torch.promote_types(patches.dtype, torch.float32))
        # Relative to the first value: the mean of a constant patch is then exactly its
        # value, and its targets are exactly 0.
        first = patches[..., :1]
        offsets = patches - first
        mean = first + offsets.mean(dim=-1, keepdim=True)
        return mean, (offsets.var(dim=-1, keepdim=True) + _EPSILON).sqrt()


def split_cells(pixels: Tensor, size: int) -> Tensor:
    """(B, C, H, W) -> (B, N, size * size * C): square cells, row by row.

    The values of a cell are ordered row, column, channel.
    """
    split = pixels.unflatten(2, (-1, size)).unflatten(4, (-1, size))
    cells: Tensor = split.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    return cells


def join_cells(cells: Tensor, grid: tuple[int, int], size: int) -> Tensor:
    """(B, N, size * size * C) -> (B, C, H, W), the inverse of `split_cells`."""
    split = cells.unflatten(1, grid).unflatten(3, (size, size, -1))
    pixels: Tensor = split.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)
    return pixels


def gather_tokens(tokens: Tensor, indices: Tensor) -> Tensor:
    """tokens (B, N, D) at indices (B, n) -> (B, n, D)."""
    return tokens.gather(1, indices[:, :, None].expand(-1, -1, tokens.shape[2]))
