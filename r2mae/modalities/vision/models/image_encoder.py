"""A timm model that takes uint8 images: what masked models, classifiers and probes share."""

from typing import Any, Literal

import torch
from timm.models import group_parameters
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from r2mae.errors import InputError

Pooling = Literal["mean", "cls"]


class ImageEncoder(nn.Module):
    """Standardised pixels through a timm model without classifier; features pooled to one vector an image.

    Implements `Encoder`; a batch holds "images" (B, C, S, S) uint8. `encoder` keeps timm's parameter names.
    pooling: "mean" of patch tokens (of the feature map, as timm does it, for other models than ViTs), or "cls".

    Raises: InputError when the encoder has no class token to pool by.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        encoder: Any,
        *,
        pixel_mean: tuple[float, ...],
        pixel_std: tuple[float, ...],
        pooling: Pooling = "mean",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        if pooling == "cls" and not (
            isinstance(encoder, VisionTransformer) and encoder.cls_token is not None
        ):
            rule = f"be mean for {type(encoder).__name__}, which is no VisionTransformer with a class token"
            raise InputError(f"model.pooling must {rule}, got cls.")
        self.register_buffer(
            "pixel_mean", torch.tensor(pixel_mean).view(1, -1, 1, 1), persistent=False
        )
        self.register_buffer(
            "pixel_std", torch.tensor(pixel_std).view(1, -1, 1, 1), persistent=False
        )

    @property
    def width(self) -> int:
        """Features of an image, D."""
        if isinstance(self.encoder, VisionTransformer):
            return int(self.encoder.num_features)
        return int(getattr(self.encoder, "head_hidden_size", self.encoder.num_features))

    def pixels(self, batch: dict[str, Any]) -> Tensor:
        """Standardised float images (B, C, S, S) of a batch."""
        images: Tensor = batch["images"].to(self.pixel_mean.dtype) / 255
        return (images - self.pixel_mean) / self.pixel_std

    def embed(self, batch: dict[str, Any]) -> Tensor:
        """(B, D) features of whole images, nothing hidden."""
        features: Tensor = self.encoder.forward_features(self.pixels(batch))
        if not isinstance(self.encoder, VisionTransformer):
            pooled: Tensor = self.encoder.forward_head(features, pre_logits=True)
            return pooled
        return (
            features[:, 0]
            if self.pooling == "cls"
            else features[:, self.encoder.num_prefix_tokens :].mean(dim=1)
        )

    def baseline(self, batch: dict[str, Any]) -> Tensor:
        """(B, C * S * S) standardised pixels."""
        return self.pixels(batch).flatten(1)

    def compile_blocks(self) -> None:
        """A ViT's repeated blocks, one graph for any length; of other models all layers, as one graph."""
        # Training and evaluation, gradients or none, one sample or more: several graphs of one function. At its
        # usual limit of 8, torch warns once and runs the rest eagerly.
        torch._dynamo.config.recompile_limit = max(
            torch._dynamo.config.recompile_limit, 32
        )
        if not isinstance(self.encoder, VisionTransformer):
            self.encoder.forward_features = torch.compile(self.encoder.forward_features)
            return
        for block in self.encoder.blocks:
            block.compile(dynamic=True)

    def layers(self) -> dict[str, int]:
        """Depth of every encoder parameter, by name: 0 for the stem, rising to the last norm."""
        if not hasattr(self.encoder, "group_matcher"):
            name = type(self.encoder).__name__
            raise InputError(
                f"tune.layer_decay must be 1.0 for {name}, whose layers timm does not group."
            )
        depths = group_parameters(
            self.encoder, self.encoder.group_matcher(coarse=False), reverse=True
        )
        return {f"encoder.{name}": int(depth) for name, depth in depths.items()}
