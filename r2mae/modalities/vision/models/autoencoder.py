"""A masked autoencoder around timm's VisionTransformer.

Shapes: B images, C channels, S x S pixels, N patches, P values of a patch, V visible and M hidden patches,
R prefix tokens (class and registers), D encoder width, E decoder width.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from timm.layers import PatchEmbed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from r2mae.masking.loss import masked_squared_error
from r2mae.masking.pattern import Mask
from r2mae.modalities.vision.models.patches import PatchedImages, gather_tokens
from r2mae.modalities.vision.models.positions import sincos_positions
from r2mae.models.cost import block_flops, block_saved, linear_flops
from r2mae.models.packed import build_packing, pack, unpack
from r2mae.models.packed_block import packable, packed_block
from r2mae.models.protocol import MaskedOutput, Memory

_EPSILON = 1e-6


class MaskedAutoencoder(PatchedImages):
    """Visible patches through a ViT, all positions through a light decoder, pixels at hidden patches only.

    Implements `MaskedModel`; a batch holds "images" (B, C, S, S) uint8. `encoder` keeps timm's parameter names.

    Source: He et al. 2022. Differs: raw patches are gathered before they are projected, pixels are decoded at
    hidden patches only, and rows of a batch may hide different numbers of patches.
    """

    def __init__(
        self,
        encoder: VisionTransformer,
        *,
        decoder_depth: int,
        decoder_width: int,
        decoder_heads: int,
        normalize_targets: bool,
        pixel_mean: tuple[float, ...],
        pixel_std: tuple[float, ...],
    ) -> None:
        assert type(encoder.patch_embed) is PatchEmbed
        super().__init__(
            encoder,
            grid=encoder.patch_embed.grid_size,
            patch_size=int(encoder.patch_embed.patch_size[0]),
            normalize_targets=normalize_targets,
            pixel_mean=pixel_mean,
            pixel_std=pixel_std,
        )
        self.num_prefix = encoder.num_prefix_tokens
        self.compiled = False
        patch_values = encoder.in_chans * self.patch_size**2
        self.decoder_embed = nn.Linear(encoder.embed_dim, decoder_width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_width))
        positions = sincos_positions(self.grid, decoder_width, self.num_prefix)
        self.decoder_positions = nn.Parameter(positions, requires_grad=False)
        self.decoder_blocks = nn.ModuleList(
            Block(decoder_width, decoder_heads, qkv_bias=True)
            for _ in range(decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(decoder_width, eps=_EPSILON)
        self.decoder_predict = nn.Linear(decoder_width, patch_values)
        norms = [
            module
            for module in self.decoder_blocks.modules()
            if isinstance(module, nn.LayerNorm)
        ]
        assert all(norm.eps == _EPSILON for norm in norms)
        initialize_like_mae(self, encoder)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """Predict the hidden patches' pixels, (B, M, P), normalised a patch when the model is made so."""
        patches = self.patchify(self.pixels(batch))
        predictions = self.decode(self.encode(patches, mask), mask)
        targets = self.targets(gather_tokens(patches, mask.masked))
        return MaskedOutput(
            masked_squared_error(predictions, targets, mask.masked_weight), predictions
        )

    def embed_patches(self, patches: Tensor) -> Tensor:
        """The patch embedding, (B, n, P) -> (B, n, D): timm's convolution as the linear map that it is."""
        projection = self.encoder.patch_embed.proj
        weight = projection.weight.permute(0, 2, 3, 1).flatten(1)
        embedded: Tensor = self.encoder.patch_embed.norm(
            F.linear(patches, weight, projection.bias)
        )
        return embedded

    def encode(self, patches: Tensor, mask: Mask | None = None) -> Tensor:
        """Latent tokens (B, R + V, D) of visible patches; all are visible without a mask.

        Rows of unequal counts run packed where blocks are plain, otherwise padded; both give each what it gets alone.
        """
        encoder = self.encoder
        packing = attention_mask = None
        positions = self._patch_positions()
        if mask is not None:
            patches = gather_tokens(patches, mask.visible)
            positions = positions.expand(len(patches), -1, -1)
            positions = gather_tokens(positions, mask.visible)
            if mask.visible_counts is not None and packable(encoder.blocks):
                lengths = [self.num_prefix + count for count in mask.visible_counts]
                packing = build_packing(lengths, patches.device)
            elif mask.visible_weight is not None:
                attention_mask = F.pad(
                    mask.visible_weight, (self.num_prefix, 0), value=True
                )[:, None, None]
        latent = torch.cat(
            [self._prefix(len(patches)), self.embed_patches(patches) + positions], dim=1
        )
        if packing is not None:
            latent = pack(latent, packing)
        latent = encoder.norm_pre(encoder.pos_drop(latent))
        for block in encoder.blocks:
            if packing is not None:
                latent = packed_block(block, latent, packing, compiled=self.compiled)
            else:
                latent = (
                    block(latent, attn_mask=attention_mask)
                    if attention_mask is not None
                    else block(latent)
                )
        normed: Tensor = encoder.norm(latent)
        return normed if packing is None else unpack(normed, packing)

    def _patch_positions(self) -> Tensor:
        """(1, N, D) position embeddings of patches, zeros where the encoder has none."""
        table = self.encoder.pos_embed
        num_patches = self.grid[0] * self.grid[1]
        if table is None:
            return self.decoder_positions.new_zeros(
                1, num_patches, self.encoder.embed_dim
            )
        patch_table: Tensor = table[:, table.shape[1] - num_patches :]
        return patch_table

    def _prefix(self, batch_size: int) -> Tensor:
        """(B, R, D) class and register tokens, with their position embeddings where the encoder has some."""
        encoder = self.encoder
        tokens = [
            token
            for token in (encoder.cls_token, encoder.reg_token)
            if token is not None
        ]
        if not tokens:
            return self.decoder_positions.new_zeros(batch_size, 0, encoder.embed_dim)
        prefix = torch.cat(tokens, dim=1)
        if encoder.pos_embed is not None and not encoder.no_embed_class:
            prefix = prefix + encoder.pos_embed[:, : self.num_prefix]
        return prefix.expand(batch_size, -1, -1)

    def decode(self, latent: Tensor, mask: Mask) -> Tensor:
        """Predicted values (B, M, P) of hidden patches from latent tokens (B, R + V, D)."""
        tokens = self.decoder_embed(latent)
        prefix, seen = tokens[:, : self.num_prefix], tokens[:, self.num_prefix :]
        num_patches, width = mask.is_masked.shape[1], tokens.shape[2]
        # Padding is written to one slot past the end, which is cut off: no position is written twice.
        slots = mask.visible
        if mask.visible_weight is not None:
            slots = torch.where(mask.visible_weight, slots, num_patches)
        full = self.mask_token.to(tokens.dtype).expand(
            len(tokens), num_patches + 1, width
        )
        full = full.scatter(1, slots[:, :, None].expand(-1, -1, width), seen)[
            :, :num_patches
        ]
        tokens = torch.cat([prefix, full], dim=1) + self.decoder_positions
        for block in self.decoder_blocks:
            tokens = block(tokens)
        hidden = gather_tokens(tokens[:, self.num_prefix :], mask.masked)
        predictions: Tensor = self.decoder_predict(self.decoder_norm(hidden))
        return predictions

    def compile_blocks(self) -> None:
        """One graph serves all blocks of a width at every length; prefix, gathering and loss stay eager."""
        super().compile_blocks()
        self.compiled = True  # packed rows have graphs of their own
        for block in self.decoder_blocks:
            block.compile(dynamic=True)

    def training_flops(self, num_visible: int) -> int:
        """Floating-point operations of forward and backward for one image; a multiply-add is two."""
        num_patches, patch_values = (
            self.grid[0] * self.grid[1],
            self.decoder_predict.out_features,
        )
        width, decoder_width = self.encoder.embed_dim, self.decoder_embed.out_features
        seen, everything = self.num_prefix + num_visible, self.num_prefix + num_patches
        total = linear_flops(
            num_visible, patch_values, width, needs_input_gradient=False
        )
        total += sum(
            block_flops(seen, width, hidden_width(block))
            for block in self.encoder.blocks
        )
        total += linear_flops(seen, width, decoder_width)
        total += sum(
            block_flops(everything, decoder_width, hidden_width(block))
            for block in self.decoder_blocks
        )
        return total + linear_flops(
            num_patches - num_visible, decoder_width, patch_values
        )

    def saved_values(self, num_visible: int) -> Memory:
        """Activations that one image keeps for backward."""
        num_patches, patch_values = (
            self.grid[0] * self.grid[1],
            self.decoder_predict.out_features,
        )
        width, decoder_width = self.encoder.embed_dim, self.decoder_embed.out_features
        seen, everything = self.num_prefix + num_visible, self.num_prefix + num_patches
        stages = [
            *(
                block_saved(seen, width, hidden_width(block), num_heads(block))
                for block in self.encoder.blocks
            ),
            *(
                block_saved(everything, decoder_width, hidden_width(b), num_heads(b))
                for b in self.decoder_blocks
            ),
        ]
        # Ends: inputs of both norms with two statistics, what hidden tokens are gathered from, differences to
        # targets; inputs of three linear maps.
        hidden = num_patches - num_visible
        wide = (
            seen * (width + 2)
            + everything * decoder_width
            + hidden * (decoder_width + 2 + patch_values)
        )
        narrow = num_visible * patch_values + seen * width + hidden * decoder_width
        return Memory(
            wide + sum(stage.wide for stage in stages),
            narrow + sum(stage.narrow for stage in stages),
        )


def initialize_like_mae(module: nn.Module, encoder: VisionTransformer) -> None:
    """MAE's initial weights for all of module: Xavier for linear maps, the patch projection seen as one; sin-cos
    position embeddings that are not trained."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    projection = encoder.patch_embed.proj
    nn.init.xavier_uniform_(projection.weight.view(projection.weight.shape[0], -1))
    if projection.bias is not None:
        nn.init.zeros_(projection.bias)
    for token in (encoder.cls_token, encoder.reg_token):
        if token is not None:
            nn.init.normal_(token, std=0.02)
    if encoder.pos_embed is not None:
        grid = encoder.patch_embed.grid_size
        num_prefix = encoder.pos_embed.shape[1] - grid[0] * grid[1]
        positions = sincos_positions(grid, encoder.embed_dim, num_prefix)
        encoder.pos_embed = nn.Parameter(positions, requires_grad=False)


def hidden_width(block: Any) -> int:
    """Width of a timm block's MLP; of a gated one, the mean of before and after its gate, which costs the same."""
    return int(block.mlp.fc1.out_features + block.mlp.fc2.in_features) // 2


def num_heads(block: Any) -> int:
    """Attention heads of a timm block."""
    return int(block.attn.num_heads)
