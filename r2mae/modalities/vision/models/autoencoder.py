"""A masked autoencoder around timm's VisionTransformer.

Shapes: B images, C channels, H x W pixels, N patches, P values of a patch, V visible and
M hidden patches, R prefix tokens (class and registers), D encoder width.
"""

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - as in torch's documentation
from timm.layers import PatchEmbed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from r2mae.masking.mask import Mask
from r2mae.modalities.vision.models.patches import PatchedImages, gather_tokens
from r2mae.modalities.vision.models.positions import sincos_positions
from r2mae.models.cost import block_flops, block_saved, linear_flops
from r2mae.models.packed import build_packing, pack, unpack
from r2mae.models.packed_block import packable, packed_block
from r2mae.models.pooling import pool
from r2mae.models.protocol import MaskedOutput, Memory
from r2mae.models.recompute import recompute

_EPSILON = 1e-6


class MaskedAutoencoder(PatchedImages):
    """MAE: a ViT on visible patches, a light decoder on all positions, pixels predicted.

    Implements `MaskedModel`; a batch holds "images" (B, C, H, W) uint8. `encoder` keeps
    timm's parameter names.

    Source: He et al. 2022 (MAE). Differs: patches are gathered before the projection,
    pixels are predicted at hidden patches only, and rows of a batch may hide different
    numbers of patches.
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
            m for m in self.decoder_blocks.modules() if isinstance(m, nn.LayerNorm)
        ]
        assert all(norm.eps == _EPSILON for norm in norms)
        initialize_like_mae(self, encoder)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """Loss and predictions (B, M, P) at hidden patches, in units of the targets."""
        patches = self.patchify(self.pixels(batch))
        predictions = self.decode(self.encode(patches, mask), mask)
        return self.compare(patches, predictions, mask)

    def embed_patches(self, patches: Tensor) -> Tensor:
        """The patch embedding, (B, n, P) -> (B, n, D)."""
        projection = self.encoder.patch_embed.proj
        # timm's convolution has its kernel as stride: a linear layer on each patch.
        weight = projection.weight.permute(0, 2, 3, 1).flatten(1)
        projected = F.linear(patches, weight, projection.bias)
        embedded: Tensor = self.encoder.patch_embed.norm(projected)
        return embedded

    def embed(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, D) features of visible patches; without a mask, of complete images."""
        if mask is None:
            return super().embed(batch)
        return pool(*self.embed_tokens(batch, mask), self.pooling)

    def embed_tokens(
        self, batch: dict[str, Any], mask: Mask | None = None
    ) -> tuple[Tensor, Tensor]:
        """(tokens (B, V, D), is_token (B, V)) of visible patches, or of complete images."""
        if mask is None:
            return super().embed_tokens(batch)
        pixels = self.pixels(batch)
        latent = self.encode(self.patchify(pixels), mask)
        return self.read_tokens(latent, pixels, mask.is_visible)

    def encode(self, patches: Tensor, mask: Mask | None = None) -> Tensor:
        """Latent tokens (B, R + V, D) of visible patches; without a mask, of all.

        Rows with different counts run packed where blocks are plain, otherwise padded.
        Either way a row's result equals that of the row alone.
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
                is_token = F.pad(mask.visible_weight, (self.num_prefix, 0), value=True)
                attention_mask = is_token[:, None, None]
        embedded = self.embed_patches(patches) + positions
        latent = torch.cat([self._prefix(len(patches)), embedded], dim=1)
        if packing is not None:
            latent = pack(latent, packing)
        latent = encoder.norm_pre(encoder.pos_drop(latent))
        for block in encoder.blocks:
            if packing is not None:
                latent = packed_block(block, latent, packing, compiled=self.compiled)
            elif attention_mask is not None:
                latent = block(latent, attn_mask=attention_mask)
            else:  # some of timm's blocks take no attn_mask
                latent = block(latent)
        normed: Tensor = encoder.norm(latent)
        return normed if packing is None else unpack(normed, packing)

    def _patch_positions(self) -> Tensor:
        """(1, N, D) position embeddings of patches; zeros where the encoder has none."""
        table = self.encoder.pos_embed
        num_patches = self.grid[0] * self.grid[1]
        if table is None:
            return self.decoder_positions.new_zeros(
                1, num_patches, self.encoder.embed_dim
            )
        patch_table: Tensor = table[:, table.shape[1] - num_patches :]
        return patch_table

    def _prefix(self, batch_size: int) -> Tensor:
        """(B, R, D) class and register tokens with any position embeddings of theirs."""
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
        prefix, visible = tokens[:, : self.num_prefix], tokens[:, self.num_prefix :]
        num_patches, width = mask.is_masked.shape[1], tokens.shape[2]
        # Padding is written to one slot past the end, which is cut off: no position is written twice.
        slots = mask.visible
        if mask.visible_weight is not None:
            slots = torch.where(mask.visible_weight, slots, num_patches)
        mask_token = self.mask_token.to(tokens.dtype)
        full = mask_token.expand(len(tokens), num_patches + 1, width)
        full = full.scatter(1, slots[:, :, None].expand(-1, -1, width), visible)
        tokens = torch.cat([prefix, full[:, :num_patches]], dim=1)
        tokens = tokens + self.decoder_positions
        for block in self.decoder_blocks:
            tokens = block(tokens)
        hidden = gather_tokens(tokens[:, self.num_prefix :], mask.masked)
        predictions: Tensor = self.decoder_predict(self.decoder_norm(hidden))
        return predictions

    def compile_blocks(self) -> None:
        """Compile encoder and decoder blocks in place; one graph serves every length."""
        super().compile_blocks()
        self.compiled = True  # packed rows use graphs of their own
        for block in self.decoder_blocks:
            block.compile(dynamic=True)

    def recompute_blocks(self) -> None:
        """Recompute activations of encoder and decoder blocks in backward."""
        super().recompute_blocks()
        recompute(self.decoder_blocks)

    def training_flops(self, num_visible: int) -> int:
        """Floating-point operations of forward and backward for one image."""
        num_patches = self.grid[0] * self.grid[1]
        patch_values = self.decoder_predict.out_features
        width, decoder_width = self.encoder.embed_dim, self.decoder_embed.out_features
        # Tokens of the encoder and of the decoder.
        inner, outer = self.num_prefix + num_visible, self.num_prefix + num_patches
        num_hidden = num_patches - num_visible
        # Pixels need no gradient.
        total = linear_flops(num_visible, patch_values, width, False)
        for block in self.encoder.blocks:
            total += block_flops(inner, width, hidden_width(block))
        total += linear_flops(inner, width, decoder_width)
        for block in self.decoder_blocks:
            total += block_flops(outer, decoder_width, hidden_width(block))
        return total + linear_flops(num_hidden, decoder_width, patch_values)

    def saved_values(self, num_visible: int) -> Memory:
        """Activations that one image keeps for backward."""
        num_patches = self.grid[0] * self.grid[1]
        patch_values = self.decoder_predict.out_features
        width, decoder_width = self.encoder.embed_dim, self.decoder_embed.out_features
        inner, outer = self.num_prefix + num_visible, self.num_prefix + num_patches
        num_hidden = num_patches - num_visible
        blocks = [(inner, width, block) for block in self.encoder.blocks]
        blocks += [(outer, decoder_width, block) for block in self.decoder_blocks]
        parts = [
            block_saved(length, dim, hidden_width(block), num_heads(block))
            for length, dim, block in blocks
        ]
        # Both final norms: inputs and two statistics. The decoder's output, from which
        # hidden tokens are gathered. Differences to the targets.
        wide = inner * (width + 2) + outer * decoder_width
        wide += num_hidden * (decoder_width + 2 + patch_values)
        # Inputs of three linear layers: patch projection, decoder_embed, decoder_predict.
        narrow = num_visible * patch_values + inner * width + num_hidden * decoder_width
        wide += sum(part.wide for part in parts)
        return Memory(wide, narrow + sum(part.narrow for part in parts))


def initialize_like_mae(module: nn.Module, encoder: VisionTransformer) -> None:
    """MAE's initial weights for all of module.

    Xavier for linear layers and the patch projection; fixed sine-cosine positions.
    """
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
    """Hidden width of a timm block's MLP, for costs.

    Of a gated one, the mean of its widths before and after the gate: the same cost.
    """
    return int(block.mlp.fc1.out_features + block.mlp.fc2.in_features) // 2


def num_heads(block: Any) -> int:
    """Attention heads of a timm block."""
    return int(block.attn.num_heads)


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.models.protocol import MaskedModel

    _masked_model: type[MaskedModel] = MaskedAutoencoder
