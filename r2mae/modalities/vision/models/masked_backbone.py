"""Masked image modelling with any timm backbone that gives a spatial feature map.

Shapes: B images, C channels, H x W pixels, N patches of P = p * p * C values,
M of them hidden, D features; h x w cells of stride x stride pixels.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from r2mae.errors import InputError
from r2mae.masking.mask import Mask
from r2mae.modalities.vision.models.feature_map import architecture, read_feature_map
from r2mae.modalities.vision.models.patches import (
    PatchedImages,
    gather_tokens,
    join_cells,
    split_cells,
)
from r2mae.modalities.vision.schema import height_width
from r2mae.models.measured_cost import MeasuredCost
from r2mae.models.meta_pass import MetaPass
from r2mae.models.protocol import MaskedOutput, Memory


class MaskedBackbone(MeasuredCost, PatchedImages):
    """SimMIM-style pretraining: predicts hidden patches from a full image with mask tokens.

    Hidden patches are replaced by one learned patch, the backbone computes every position,
    and one linear layer predicts the pixels. Implements `MaskedModel`.

    encoder: a timm model, which keeps its parameter names. Parameters that no feature
        depends on, such as its classifier's, are frozen.
    patch_size: pixels of a hidden patch's side; None for the feature map's stride. One of
        the two must divide the other.

    The values of hidden patches never reach the backbone: no prediction, batch statistic
    or running statistic depends on them. By construction the network does see
    - where patches are hidden, by the learned patch;
    - across patch borders: convolutions, pooling and windows reach over them, which is
      what lets them predict;
    - visible pixels of other samples of the micro-batch, through BatchNorm in train mode.

    Source: Xie et al. 2022 (SimMIM). Differs: the mask token is a patch of pixels, so any
    stem can follow. It has values per pixel, since a single colour could also occur in an
    image. Targets are standardised per patch as in MAE; the loss is squared error.

    Raises: InputError when image, stride and patch do not fit, or the output is not a
        spatial map.
    """

    def __init__(
        self,
        encoder: Any,
        *,
        image_size: int | tuple[int, int],
        patch_size: int | None = None,
        normalize_targets: bool,
        pixel_mean: tuple[float, ...],
        pixel_std: tuple[float, ...],
    ) -> None:
        channels = len(pixel_mean)
        feature_map, unused = read_feature_map(encoder, image_size, channels)
        size = feature_map.stride if patch_size is None else patch_size
        height, width = height_width(image_size)
        for side in (height, width):
            _check_patch(architecture(encoder), side, size, feature_map.stride)
        super().__init__(
            encoder,
            grid=(height // size, width // size),
            patch_size=size,
            normalize_targets=normalize_targets,
            pixel_mean=pixel_mean,
            pixel_std=pixel_std,
        )
        self.feature_map = feature_map
        for name, parameter in encoder.named_parameters():
            # DDP waits for a gradient of every trained parameter.
            if name in unused:
                parameter.requires_grad_(False)
        patch_values, cell_values = channels * size**2, channels * feature_map.stride**2
        self.mask_token = nn.Parameter(
            torch.empty(1, 1, patch_values).normal_(std=0.02)
        )
        self.decoder_predict = nn.Linear(feature_map.width, cell_values)
        nn.init.xavier_uniform_(self.decoder_predict.weight)
        nn.init.zeros_(self.decoder_predict.bias)

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """Loss and predictions (B, M, P) at hidden patches, in units of the targets."""
        patches = self.patchify(self.pixels(batch))
        decoded = self.decode(self.encode(patches, mask))
        return self.compare(patches, gather_tokens(decoded, mask.masked), mask)

    def embed(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, D) features of images; hidden patches are replaced by the learned patch."""
        if mask is None:
            return super().embed(batch)
        return self.pool(self.encode_pixels(self._masked_pixels(batch, mask)))

    def embed_tokens(
        self, batch: dict[str, Any], mask: Mask | None = None
    ) -> tuple[Tensor, Tensor]:
        """(tokens (B, h * w, D), is_token (B, h * w)); with a mask, as in `embed`.

        All cells are tokens: the backbone computes hidden ones too.
        """
        if mask is None:
            return super().embed_tokens(batch)
        pixels = self._masked_pixels(batch, mask)
        return self.read_tokens(self.encode_pixels(pixels), pixels)

    def _masked_pixels(self, batch: dict[str, Any], mask: Mask) -> Tensor:
        """(B, C, H, W) standardised images with the learned patch in hidden places."""
        patches = self.patchify(self.pixels(batch))
        return self.unpatchify(self._replace_hidden(patches, mask))

    def encode(self, patches: Tensor, mask: Mask) -> Tensor:
        """Features (B, h * w, D) of patches (B, N, P), hidden ones replaced."""
        replaced = self._replace_hidden(patches, mask)
        features = self.encoder.forward_features(self.unpatchify(replaced))
        return self.feature_map.cells(features)

    def _replace_hidden(self, patches: Tensor, mask: Mask) -> Tensor:
        is_hidden = mask.is_masked[:, :, None]
        # Selected, not multiplied by 0: a NaN in a hidden patch must not spread.
        return torch.where(is_hidden, self.mask_token.to(patches.dtype), patches)

    def decode(self, cells: Tensor) -> Tensor:
        """Features (B, h * w, D) -> predicted values of every patch (B, N, P)."""
        predicted: Tensor = self.decoder_predict(cells)
        stride = self.feature_map.stride
        if stride == self.patch_size:
            return predicted
        pixels = join_cells(predicted, self.feature_map.grid, stride)
        return split_cells(pixels, self.patch_size)

    # The backbone computes hidden positions too, so costs do not depend on the mask
    # ratio: they are measured once, with half of the patches hidden.

    def training_flops(self, num_visible: int) -> int:
        """Floating-point operations of forward and backward, the same at every ratio."""
        return self._half_hidden(2, bf16=False).flops // 2

    def saved_values(self, num_visible: int) -> Memory:
        """Activations that one image keeps for backward, the same at every ratio."""
        return self._memory

    @cached_property
    def _memory(self) -> Memory:
        """What a third image adds to two, in float32 and under bf16-mixed on a CPU."""
        two, three = (self._half_hidden(num, bf16=False) for num in (2, 3))
        mixed_two, mixed_three = (self._half_hidden(num, bf16=True) for num in (2, 3))
        wide = mixed_three.wide - mixed_two.wide
        return Memory(wide, max(0, three.wide - two.wide - wide))

    @cached_property
    def _passes(self) -> dict[tuple[int, bool], MetaPass]:
        return {}

    def _half_hidden(self, num_images: int, *, bf16: bool) -> MetaPass:
        key = (num_images, bf16)
        if key not in self._passes:
            num_patches = self.grid[0] * self.grid[1]
            num_visible = num_patches - num_patches // 2
            result = self.measure(num_images, num_visible, bf16=bf16)
            self._passes[key] = result._replace(output=None)
        return self._passes[key]

    def cost_inputs(
        self, num_samples: int, num_visible: int
    ) -> tuple[dict[str, Any], Mask]:
        """Images of any pixels, for the costs."""
        num_patches = self.grid[0] * self.grid[1]
        height, width = (cells * self.patch_size for cells in self.grid)
        shape = (num_samples, self.pixel_mean.shape[1], height, width)
        indices = torch.zeros(num_samples, num_patches, dtype=torch.int64)
        visible, masked = indices[:, :num_visible], indices[:, num_visible:]
        mask = Mask(indices.bool(), visible, masked)
        return {"images": torch.empty(shape, dtype=torch.uint8)}, mask


def _check_patch(name: str, image_size: int, size: int, stride: int) -> None:
    """Raise InputError unless patches tile the image, at least 2 x 2, and fit the stride."""
    fitting = [
        p
        for p in range(1, image_size // 2 + 1)
        if image_size % p == 0 and (stride % p == 0 or p % stride == 0)
    ]
    nearest = min(fitting, key=lambda p: abs(p - size), default=None)
    remedy = "Use another data.image_size."
    if nearest is not None:
        remedy = f"Use model.patch_size {nearest}, or another data.image_size."
    if stride % size and size % stride:
        raise InputError(
            f"model.patch_size must divide the stride {stride} of {name} "
            f"or be a multiple of it, got {size}. {remedy}"
        )
    if image_size % size:
        raise InputError(
            f"data.image_size must be divisible by model.patch_size {size}, "
            f"got {image_size}. {remedy}"
        )
    if image_size < 2 * size:
        raise InputError(
            f"data.image_size must hold at least 2 x 2 patches of {size} pixels, "
            f"got {image_size}. {remedy}"
        )


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.models.protocol import MaskedModel

    _masked_model: type[MaskedModel] = MaskedBackbone
