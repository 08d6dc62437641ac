"""Masked modelling with any timm backbone that gives a spatial map of features.

Shapes: B images, C channels, S x S pixels, N patches of P = p * p * C values, M of them hidden, D features;
h x w cells of the feature map, stride x stride pixels each.
"""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from r2mae.errors import InputError
from r2mae.masking.loss import masked_squared_error
from r2mae.masking.pattern import Mask
from r2mae.modalities.vision.models.feature_map import architecture, read_feature_map
from r2mae.modalities.vision.models.patches import (
    PatchedImages,
    gather_tokens,
    join_cells,
    split_cells,
)
from r2mae.models.protocol import MaskedOutput, Memory
from r2mae.models.rehearsal import Rehearsal, rehearse


class MaskedBackbone(PatchedImages):
    """Hidden patches replaced by a learned patch, the whole picture through the backbone, pixels at hidden patches.

    Implements `MaskedModel`; a batch holds "images" (B, C, S, S) uint8. `encoder` keeps timm's parameter names; those
    of its head that no feature depends on are frozen. patch_size: what is hidden, None for the map's stride; it
    divides the stride, or the stride divides it.

    No value of a hidden patch reaches the backbone, so none reaches a prediction, a batch statistic or a running one.
    By construction the network does see: where patches are hidden (the learned patch tells); across patch borders
    (convolutions, pooling and windows reach over them, which is what lets them predict); and, where there is
    BatchNorm in train mode, what is visible in other samples of the micro-batch.

    Source: SimMIM, Xie et al. 2022. Differs: the learned token is a patch of pixels, not an embedding, so that any
    stem may follow (a whole patch, not a colour a channel: a colour could be the image's own, a pattern is not);
    standardised targets as in MAE; squared error.

    Raises: InputError when image, stride and patch do not fit, or the features have no place in the image.
    """

    def __init__(
        self,
        encoder: Any,
        *,
        image_size: int,
        patch_size: int | None = None,
        normalize_targets: bool,
        pixel_mean: tuple[float, ...],
        pixel_std: tuple[float, ...],
    ) -> None:
        channels = len(pixel_mean)
        feature_map, idle = read_feature_map(encoder, image_size, channels)
        size = feature_map.stride if patch_size is None else patch_size
        _check_patch(architecture(encoder), image_size, size, feature_map.stride)
        super().__init__(
            encoder,
            grid=(image_size // size, image_size // size),
            patch_size=size,
            normalize_targets=normalize_targets,
            pixel_mean=pixel_mean,
            pixel_std=pixel_std,
        )
        self.feature_map = feature_map
        for name, parameter in encoder.named_parameters():
            if (
                name in idle
            ):  # a trained parameter without gradient would stall every other rank
                parameter.requires_grad_(False)
        self.mask_token = nn.Parameter(
            torch.empty(1, 1, channels * size**2).normal_(std=0.02)
        )
        self.decoder_predict = nn.Linear(
            feature_map.width, channels * feature_map.stride**2
        )
        nn.init.xavier_uniform_(self.decoder_predict.weight)
        nn.init.zeros_(self.decoder_predict.bias)

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """Predict the hidden patches' pixels, (B, M, P), normalised a patch when the model is made so."""
        patches = self.patchify(self.pixels(batch))
        predictions = gather_tokens(
            self.decode(self.encode(patches, mask)), mask.masked
        )
        targets = self.targets(gather_tokens(patches, mask.masked))
        return MaskedOutput(
            masked_squared_error(predictions, targets, mask.masked_weight), predictions
        )

    def encode(self, patches: Tensor, mask: Mask) -> Tensor:
        """Features (B, h * w, D) of patches (B, N, P) with the learned patch wherever one is hidden."""
        # Chosen, not multiplied: not even a NaN passes.
        given = torch.where(
            mask.is_masked[:, :, None], self.mask_token.to(patches.dtype), patches
        )
        return self.feature_map.cells(
            self.encoder.forward_features(self.unpatchify(given))
        )

    def decode(self, cells: Tensor) -> Tensor:
        """Predicted values (B, N, P) of every patch from features (B, h * w, D): one linear map a cell."""
        predicted: Tensor = self.decoder_predict(cells)
        stride = self.feature_map.stride
        if stride == self.patch_size:
            return predicted
        return split_cells(
            join_cells(predicted, self.feature_map.grid, stride), self.patch_size
        )

    def training_flops(self, num_visible: int) -> int:  # noqa: ARG002 - a backbone computes hidden places too
        """Floating-point operations of forward and backward for one image, the same at every ratio."""
        return self._rehearse(2, bf16=False).flops // 2

    def saved_values(self, num_visible: int) -> Memory:  # noqa: ARG002
        """Activations that one image keeps for backward, measured; taken as those at half hidden for every ratio.

        What one image more keeps, in float32 and under bf16-mixed as CPUs do it.
        """
        return self._memory

    @cached_property
    def _memory(self) -> Memory:
        fewer, more = (self._rehearse(num, bf16=False) for num in (2, 3))
        mixed_fewer, mixed_more = (self._rehearse(num, bf16=True) for num in (2, 3))
        wide = mixed_more.wide - mixed_fewer.wide
        return Memory(wide, max(0, more.wide - fewer.wide - wide))

    @cached_property
    def _rehearsals(self) -> dict[tuple[int, bool], Rehearsal]:
        return {}

    def _rehearse(self, num_images: int, *, bf16: bool) -> Rehearsal:
        """Cost of num_images with half of their patches hidden."""
        known = self._rehearsals
        if (num_images, bf16) not in known:
            num_patches, side = (
                self.grid[0] * self.grid[1],
                self.grid[0] * self.patch_size,
            )
            hidden = num_patches // 2

            def arguments() -> tuple[Any, ...]:
                images = torch.empty(
                    num_images, self.pixel_mean.shape[1], side, side, dtype=torch.uint8
                )
                visible = torch.zeros(
                    num_images, num_patches - hidden, dtype=torch.int64
                )
                masked = torch.zeros(num_images, hidden, dtype=torch.int64)
                is_masked = torch.zeros(num_images, num_patches, dtype=torch.bool)
                return {"images": images}, Mask(is_masked, visible, masked)

            run = rehearse(self, arguments, lambda output: output.loss.total, bf16=bf16)
            known[num_images, bf16] = run._replace(output=None)
        return known[num_images, bf16]


def _check_patch(name: str, image_size: int, size: int, stride: int) -> None:
    """Raise InputError unless patches tile the image, at least 2 x 2, in step with the feature map's cells."""
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
            f"model.patch_size must divide the stride {stride} of {name} or be a multiple of it, got {size}. {remedy}"
        )
    if image_size % size:
        raise InputError(
            f"data.image_size must be divisible by model.patch_size {size}, got {image_size}. {remedy}"
        )
    if image_size < 2 * size:
        raise InputError(
            f"data.image_size must hold at least 2 x 2 patches of {size} pixels, got {image_size}. {remedy}"
        )
