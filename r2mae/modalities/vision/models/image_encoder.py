"""A timm model that takes uint8 images: the base of masked models and classifiers."""

from typing import TYPE_CHECKING, Any, Self

import torch
import torch.nn.functional as F  # noqa: N812 - as in torch's documentation
from timm.models import group_parameters
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from r2mae.errors import InputError
from r2mae.modalities.vision.models.feature_map import interpret
from r2mae.models.partial_copy import copy_with
from r2mae.models.pooling import Pooling, pool
from r2mae.models.recompute import no_blocks, recompute


class ImageEncoder(nn.Module):
    """A timm model without classifier; its features pooled to one vector per image.

    Implements `Encoder`; a batch holds "images" (B, C, H, W) uint8. `encoder` keeps
    timm's parameter names.
    pooling: "mean" of patch tokens, or "cls" for the class token. Other models than ViTs
        pool their feature map as timm does, under "mean".

    Raises: InputError for "cls" without a class token.
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
        self.stage: int | None = None  # read instead of the output; not of ViTs
        if pooling not in self.poolings:
            raise InputError(
                f"model.pooling must be mean for {type(encoder).__name__}, which is not "
                "a VisionTransformer with a class token, got cls."
            )
        self.register_buffer(
            "pixel_mean", torch.tensor(pixel_mean).view(1, -1, 1, 1), persistent=False
        )
        self.register_buffer(
            "pixel_std", torch.tensor(pixel_std).view(1, -1, 1, 1), persistent=False
        )

    @property
    def width(self) -> int:
        """Number of features of an image, D."""
        if isinstance(self.encoder, VisionTransformer):
            return int(self.encoder.num_features)
        return int(getattr(self.encoder, "head_hidden_size", self.encoder.num_features))

    @property
    def poolings(self) -> tuple[Pooling, ...]:
        """ "cls" is for ViTs with a class token."""
        encoder = self.encoder
        has_class_token = (
            isinstance(encoder, VisionTransformer) and encoder.cls_token is not None
        )
        return ("mean", "cls") if has_class_token else ("mean",)

    @property
    def blocks(self) -> Any:
        """Blocks of a ViT; none of other models, whose parts timm calls in other ways."""
        encoder = self.encoder
        return encoder.blocks if isinstance(encoder, VisionTransformer) else None

    @property
    def num_layers(self) -> int:
        """Blocks of a ViT; of another model, the feature maps that timm can return."""
        if isinstance(self.encoder, VisionTransformer):
            return len(self.encoder.blocks)
        if not hasattr(self.encoder, "forward_intermediates"):
            return 1
        return len(self.encoder.feature_info)

    def at_layer(self, layer: int) -> Self:
        """The encoder up to a ViT's block and its final norm, or up to a feature map."""
        if layer == self.num_layers:
            return self
        if not isinstance(self.encoder, VisionTransformer):
            return copy_with(self, stage=layer)
        first = copy_with(self.encoder, blocks=self.encoder.blocks[:layer])
        return copy_with(self, encoder=first)

    def pixels(self, batch: dict[str, Any]) -> Tensor:
        """Standardised float images (B, C, H, W) of a batch.

        Raises: InputError for images that are not uint8: floats from 0 to 1 would be
            read as nearly black.
        """
        images: Tensor = batch["images"]
        if images.dtype != torch.uint8:
            kind = str(images.dtype).removeprefix("torch.")
            raise InputError(
                f"images of a batch must be uint8, 0 to 255, got {kind}. "
                "Make the batch by run.prepare(images)."
            )
        scaled = images.to(self.pixel_mean.dtype) / 255
        return (scaled - self.pixel_mean) / self.pixel_std

    def embed(self, batch: dict[str, Any]) -> Tensor:
        """(B, D) features of complete images."""
        return self.pool(self.encode_pixels(self.pixels(batch)))

    def embed_tokens(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """(tokens (B, T, K), is_token (B, T)) of complete images, as `read_tokens`."""
        pixels = self.pixels(batch)
        return self.read_tokens(self.encode_pixels(pixels), pixels)

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Output of timm's `forward_features`, or a feature map (B, K, h, w) of a stage."""
        if self.stage is None:
            features: Tensor = self.encoder.forward_features(pixels)
            return features
        (feature_map,) = self.encoder.forward_intermediates(
            pixels, indices=[self.stage - 1], norm=True, intermediates_only=True
        )
        stage_features: Tensor = feature_map
        return stage_features

    def pool(self, features: Tensor, is_visible: Tensor | None = None) -> Tensor:
        """(B, D) features of an image from the encoder's feature map or tokens.

        is_visible: (B, V) which of a ViT's patch tokens are no padding; None for all.
        """
        if self.stage is not None:
            return features.mean(dim=(2, 3))
        if not isinstance(self.encoder, VisionTransformer):
            pooled: Tensor = self.encoder.forward_head(features, pre_logits=True)
            return pooled
        return pool(*self._vit_tokens(features, is_visible), self.pooling)

    def read_tokens(
        self, features: Tensor, pixels: Tensor, is_visible: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(tokens (B, T, K), is_token (B, T)) from the encoder's output for pixels.

        Of a ViT: its patch tokens, under "cls" pooling after the class token. Of another
        model: the cells of its feature map, row by row.
        is_visible: as in `pool`.

        Raises: InputError for a model without a spatial feature map.
        """
        if isinstance(self.encoder, VisionTransformer):
            return self._vit_tokens(features, is_visible)
        if self.stage is not None:
            cells = features.flatten(2).transpose(1, 2)
        else:
            height, width = pixels.shape[2:]
            cells = interpret(self.encoder, features, (height, width)).cells(features)
        return cells, torch.ones(cells.shape[:2], dtype=torch.bool, device=cells.device)

    def _vit_tokens(
        self, features: Tensor, is_visible: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Registers are left out, and the class token under "mean" pooling."""
        tokens = features[:, self.encoder.num_prefix_tokens :]
        if is_visible is None:
            is_visible = torch.ones(
                tokens.shape[:2], dtype=torch.bool, device=tokens.device
            )
        if self.pooling == "cls":
            tokens = torch.cat([features[:, :1], tokens], dim=1)
            is_visible = F.pad(is_visible, (1, 0), value=True)
        return tokens, is_visible

    def baseline(self, batch: dict[str, Any]) -> Tensor:
        """(B, C * H * W) standardised pixels."""
        return self.pixels(batch).flatten(1)

    def compile_blocks(self) -> None:
        """Compile a ViT's blocks, one graph for any length, or another model as one graph."""
        # Train and eval mode, with and without gradients, one sample or several: each is
        # a graph of its own. Beyond the default limit of 8 torch runs eagerly.
        torch._dynamo.config.recompile_limit = max(
            torch._dynamo.config.recompile_limit, 32
        )
        if not isinstance(self.encoder, VisionTransformer):
            self.encoder.forward_features = torch.compile(self.encoder.forward_features)
            return
        for block in self.encoder.blocks:
            block.compile(dynamic=True)

    def recompute_blocks(self) -> None:
        """Recompute activations of a ViT's blocks, or of what timm recomputes.

        Raises: InputError for models that timm does not support, or with BatchNorm, whose
            statistics would be updated twice.
        """
        if isinstance(self.encoder, VisionTransformer):
            recompute(self.encoder.blocks)
            return
        name = type(self.encoder).__name__
        batch_norm = nn.modules.batchnorm._BatchNorm
        if any(isinstance(module, batch_norm) for module in self.encoder.modules()):
            raise InputError(no_blocks(name, "BatchNorm"))
        try:
            self.encoder.set_grad_checkpointing(True)
        except (AttributeError, AssertionError):
            raise InputError(no_blocks(name)) from None

    def layers(self) -> dict[str, int]:
        """Parameter name -> depth by timm's groups: 0 for the stem, last for the norm."""
        if not hasattr(self.encoder, "group_matcher"):
            name = type(self.encoder).__name__
            raise InputError(
                f"tune.layer_decay must be 1.0 for {name}, whose layers timm does not "
                "group, got another value. Set tune.layer_decay: 1.0."
            )
        depths = group_parameters(
            self.encoder, self.encoder.group_matcher(coarse=False), reverse=True
        )
        return {f"encoder.{name}": int(depth) for name, depth in depths.items()}


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.models.protocol import Encoder, PoolsTokens, ReadsLayers

    _encoder: type[Encoder] = ImageEncoder
    _reads_layers: type[ReadsLayers] = ImageEncoder
    _pools_tokens: type[PoolsTokens] = ImageEncoder
