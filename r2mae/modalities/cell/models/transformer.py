"""A masked autoencoder (transformer) of cells over their expressed genes.

Cost grows with the genes that a cell expresses, not with the genome.

Shapes: B cells, G genes, L positions of the longest list, V visible and M hidden
positions, D width.
"""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from r2mae.masking.mask import Mask, build_mask
from r2mae.masking.pattern import Role
from r2mae.modalities.cell.models.cell_model import (
    CellMasking,
    CellModel,
    CountLikelihood,
    Likelihood,
    summed,
)
from r2mae.modalities.cell.models.cross_block import CrossBlock
from r2mae.models.cost import block_flops, block_saved, linear_flops
from r2mae.models.depths import parameter_depths
from r2mae.models.packed import build_packing, pack, unpack
from r2mae.models.packed_block import packed_block
from r2mae.models.partial_copy import copy_with
from r2mae.models.pooling import Pooling, pool
from r2mae.models.protocol import MaskedOutput, Memory
from r2mae.models.recompute import recompute


class CellTransformer(CellModel):
    """One token per visible expressed gene and a [CLS] token for the cell.

    A gene's token is the sum of embeddings of its identity and of its expression.
    Implements `Encoder`.
    """

    poolings: tuple[Pooling, ...] = ("mean", "cls")

    def __init__(
        self,
        num_genes: int,
        gene_shares: npt.NDArray[np.float64] | None,
        *,
        width: int,
        depth: int,
        heads: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(num_genes, gene_shares)
        self.width, self.heads = width, heads
        self.pooling: Pooling = "cls"
        self.compiled = False
        self.embed_genes = nn.Embedding(num_genes, width)
        self.embed_values = nn.Sequential(
            nn.Linear(1, width), nn.GELU(), nn.Linear(width, width)
        )
        self.cell_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.Sequential(
            *(
                Block(width, heads, qkv_bias=True, proj_drop=dropout)
                for _ in range(depth)
            )
        )
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.embed_genes.weight, std=0.5)
        nn.init.normal_(self.cell_token, std=0.02)

    def encode(self, batch: dict[str, Any], mask: Mask) -> tuple[Tensor, Tensor]:
        """(latent tokens (B, 1 + V, D), the cell's first; library sizes (B, 1)).

        Rows with different numbers of visible genes run packed.
        """
        sizes = self.sizes(batch, mask.is_masked)
        inputs = self.inputs(batch, mask.is_masked, sizes)
        genes = batch["columns"].gather(1, mask.visible)
        latent = self._first_tokens(genes, inputs.gather(1, mask.visible))
        packing = None
        if mask.visible_counts is not None:
            lengths = [1 + count for count in mask.visible_counts]
            packing = build_packing(lengths, latent.device)
            latent = pack(latent, packing)
        if packing is None:
            return self.norm(self.blocks(latent)), sizes
        for block in self.blocks:
            latent = packed_block(block, latent, packing, compiled=self.compiled)
        return unpack(self.norm(latent), packing), sizes

    def _first_tokens(self, genes: Tensor, expression: Tensor) -> Tensor:
        """(B, 1 + V, D) the cell's token, then those of genes (B, V)."""
        tokens = self.embed_genes(genes) + self.embed_values(expression[:, :, None])
        # Not len(tokens): exporters would take its value for a constant.
        cells = self.cell_token.expand(tokens.shape[0], -1, -1)
        return torch.cat([cells, tokens], dim=1)

    def embed_padded(self, batch: dict[str, Any]) -> Tensor:
        """(B, D) as `embed` of complete cells; no shape depends on the data.

        batch: "columns", "values" and "is_expressed" (B, L), False for padding, and
            "measured" (B, G).
        """
        is_token = F.pad(batch["is_expressed"], (1, 0), value=True)
        values = batch["values"] * batch["is_expressed"]
        sizes = self.sizes(batch | {"values": values}, None)
        expression = self.inputs(batch, None, sizes)
        latent = self._first_tokens(batch["columns"], expression)
        for block in self.blocks:
            latent = block(latent, attn_mask=is_token[:, None, None])
        return pool(self.norm(latent), is_token, self.pooling)

    def embed(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, D) the cell's token, or the mean; without a mask, of complete cells."""
        return pool(*self.embed_tokens(batch, mask), self.pooling)

    def embed_tokens(
        self, batch: dict[str, Any], mask: Mask | None = None
    ) -> tuple[Tensor, Tensor]:
        """(tokens (B, 1 + V, D), is_token (B, 1 + V)): the cell's, then visible genes."""
        if mask is None:
            is_visible = batch["roles"] == Role.HIDEABLE
            mask = build_mask(torch.zeros_like(is_visible), is_visible)
        latent, _ = self.encode(batch, mask)
        return latent, F.pad(mask.is_visible, (1, 0), value=True)

    @property
    def num_layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    def at_layer(self, layer: int) -> Self:
        """The encoder up to a block, with the final norm."""
        return copy_with(self, blocks=self.blocks[:layer])

    def layers(self) -> dict[str, int]:
        """Parameter name -> depth, for the encoder."""
        first = dict.fromkeys(("embed_genes", "embed_values", "cell_token"), 0)
        return parameter_depths(self, first | {"norm": len(self.blocks) + 1})

    def compile_blocks(self) -> None:
        """Compile the blocks in place; one graph serves all blocks at every length."""
        self.compiled = True
        for block in self.blocks:
            block.compile(dynamic=True)

    def recompute_blocks(self) -> None:
        """Recompute activations of the blocks in backward."""
        recompute(self.blocks)


class MaskedCellTransformer(CellTransformer):
    """Predicts the counts of hidden genes by cross-attention. Implements `MaskedModel`.

    Hidden genes are expressed ones and some drawn from those with a count of 0.

    typical_length: expressed genes of a typical cell, for plans and costs.
    expressed_share: fraction of the hidden genes that are expressed.
    """

    def __init__(
        self,
        num_genes: int,
        gene_shares: npt.NDArray[np.float64] | None,
        *,
        width: int,
        depth: int,
        heads: int,
        decoder_depth: int,
        likelihood: Likelihood,
        typical_length: int,
        expressed_share: float,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            num_genes,
            gene_shares,
            width=width,
            depth=depth,
            heads=heads,
            dropout=dropout,
        )
        self.grid = (typical_length,)
        self.expressed_share = expressed_share
        self.likelihood = CountLikelihood(likelihood, num_genes)
        self.ask_genes = nn.Embedding(num_genes, width)
        self.ask_cell = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)
        )
        self.questions = nn.ModuleList(
            CrossBlock(width, heads) for _ in range(decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(width)
        self.answer_genes = nn.Embedding(num_genes, width)
        self.answer_bias = nn.Embedding(num_genes, 1)
        nn.init.normal_(self.ask_genes.weight, std=0.5)
        nn.init.normal_(self.answer_genes.weight, std=0.02)
        nn.init.zeros_(self.answer_bias.weight)

    @property
    def masking(self) -> CellMasking:
        """Every measured gene may be masked."""
        return CellMasking(self.grid)

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """Loss over hidden genes; predictions (B, M): their expected counts."""
        latent, sizes = self.encode(batch, mask)
        genes = batch["columns"].gather(1, mask.masked)
        values = batch["values"].gather(1, mask.masked)
        decoded = self.decode(latent, genes, mask).float()
        shares = self.gene_shares[genes]
        totals = batch["values"].sum(dim=1, keepdim=True)
        losses = self.likelihood.losses(decoded, values, shares, sizes, genes, totals)
        predictions = self.likelihood.rates(decoded, shares, sizes)
        return MaskedOutput(summed(losses, mask.masked_weight), predictions)

    def decode(self, latent: Tensor, genes: Tensor, mask: Mask) -> Tensor:
        """(B, M) the decoder's output for genes (B, M)."""
        hidden = self.ask_genes(genes) + self.ask_cell(latent[:, :1])
        is_token = None
        if mask.visible_weight is not None:
            is_token = F.pad(mask.visible_weight, (1, 0), value=True)[:, None, None]
        for question in self.questions:
            hidden = question(hidden, latent, is_token)
        # One output vector per gene: a product and a sum, never (B, M, G) logits.
        products: Tensor = self.decoder_norm(hidden) * self.answer_genes(genes)
        decoded: Tensor = products.sum(dim=2) + self.answer_bias(genes)[:, :, 0]
        return decoded

    def recompute_blocks(self) -> None:
        """Recompute activations of encoder and decoder blocks in backward."""
        super().recompute_blocks()
        recompute(self.questions)

    def impute(
        self, values: Tensor, is_masked: Tensor, measured: Tensor | None = None
    ) -> Tensor:
        """(B, G) values (B, G) with hidden genes replaced by their expected counts."""
        is_listed = (values > 0) | is_masked
        longest = int(is_listed.sum(dim=1).max())
        order = (~is_listed).long().argsort(dim=1, stable=True)[:, :longest]
        present = is_listed.gather(1, order)
        hidden = is_masked.gather(1, order) & present
        batch = {"columns": order, "values": values.gather(1, order) * present}
        if measured is not None:
            batch["measured"] = measured
        mask = build_mask(hidden, present & ~hidden)
        expected = self(batch, mask).predictions
        genes = order.gather(1, mask.masked)
        # Padding is written to one column past the end, which is cut off.
        if mask.masked_weight is not None:
            genes = genes.masked_fill(~mask.masked_weight, self.num_genes)
        full = torch.cat([values, values.new_zeros(len(values), 1)], dim=1)
        return full.scatter(1, genes, expected)[:, :-1]

    def training_flops(self, num_visible: int) -> int:
        """Operations of forward and backward for a typical cell."""
        width, visible = self.width, 1 + num_visible
        hidden = self._num_hidden(num_visible)
        total = 2 * linear_flops(visible, width, width)
        total += len(self.blocks) * block_flops(visible, width, 4 * width)
        question = 2 * linear_flops(hidden, width, width)
        question += linear_flops(visible, width, 2 * width)
        question += 2 * linear_flops(hidden, width, 2 * width)
        # Fused attention: see `models.cost.block_flops`.
        question += 7 * 2 * hidden * visible * width
        output = 6 * hidden * width
        return total + len(self.questions) * question + output

    def saved_values(self, num_visible: int) -> Memory:
        """Activations that a typical cell keeps for backward, approximately.

        The embedding tables of the decoder are not counted.
        """
        width, visible = self.width, 1 + num_visible
        hidden = self._num_hidden(num_visible)
        block = block_saved(visible, width, 4 * width, self.heads)
        depth, decoder_depth = len(self.blocks), len(self.questions)
        wide = depth * block.wide + visible * 3 * width + hidden * 4 * width
        question = hidden * 8 * width + visible * 3 * width
        return Memory(wide, depth * block.narrow + decoder_depth * question)

    def _num_hidden(self, num_visible: int) -> int:
        """Hidden genes of a typical cell, expressed or not, with num_visible left."""
        return round(max(0, self.grid[0] - num_visible) / self.expressed_share)


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.models.protocol import Encoder, MaskedModel, PoolsTokens, ReadsLayers

    _encoder: type[Encoder] = CellTransformer
    _reads_layers: type[ReadsLayers] = CellTransformer
    _pools_tokens: type[PoolsTokens] = CellTransformer
    _masked_model: type[MaskedModel] = MaskedCellTransformer
