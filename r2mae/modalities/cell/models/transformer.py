"""A masked autoencoder of cells over expressed genes: cost follows what a cell expresses, not the genome.

Shapes: B cells, G genes, L positions of the longest list, V visible and M hidden ones, D width.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from r2mae.masking.pattern import Mask, Role, build_mask
from r2mae.modalities.cell.models.cell_model import (
    CellModel,
    CountLikelihood,
    Likelihood,
    summed,
)
from r2mae.models.cost import block_flops, block_saved, linear_flops
from r2mae.models.packed import build_packing, pack, unpack
from r2mae.models.packed_block import packed_block
from r2mae.models.protocol import MaskedOutput, Memory


class CellTransformer(CellModel):
    """A token for each visible expressed gene (which, and how much) and one for the cell. Implements `Encoder`."""

    gathers = True

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
        """(latent tokens (B, 1 + V, D), the cell's own first; sizes (B, 1)). Rows of unequal counts run packed."""
        sizes = self.sizes(batch, mask.is_masked)
        inputs = self.inputs(batch, mask.is_masked, sizes)
        genes, seen = (
            batch["columns"].gather(1, mask.visible),
            inputs.gather(1, mask.visible),
        )
        tokens = self.embed_genes(genes) + self.embed_values(seen[:, :, None])
        latent = torch.cat([self.cell_token.expand(len(tokens), -1, -1), tokens], dim=1)
        packing = None
        if mask.visible_counts is not None:
            packing = build_packing(
                [1 + count for count in mask.visible_counts], latent.device
            )
            latent = pack(latent, packing)
        for block in self.blocks:
            latent = (
                block(latent)
                if packing is None
                else packed_block(block, latent, packing, compiled=self.compiled)
            )
        latent = self.norm(latent)
        return latent if packing is None else unpack(latent, packing), sizes

    def embed(self, batch: dict[str, Any]) -> Tensor:
        """(B, D) features of whole cells: the cell's token."""
        is_visible = batch["roles"] == Role.HIDEABLE
        return self.encode(batch, build_mask(torch.zeros_like(is_visible), is_visible))[
            0
        ][:, 0]

    def layers(self) -> dict[str, int]:
        """Depth of every encoder parameter."""
        first = ("embed_genes", "embed_values", "cell_token")
        depths: dict[str, int] = {}
        for name, _ in self.named_parameters():
            part = name.split(".")[0]
            if part in first:
                depths[name] = 0
            elif part in ("blocks", "norm"):
                depths[name] = (
                    int(name.split(".")[1]) + 1
                    if part == "blocks"
                    else len(self.blocks) + 1
                )
        return depths

    def compile_blocks(self) -> None:
        """One graph serves all blocks at every length."""
        self.compiled = True
        for block in self.blocks:
            block.compile(dynamic=True)


class _Question(nn.Module):
    """A pre-norm block in which hidden genes ask the visible ones: cross-attention, then an MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2, self.norm_kv = (
            nn.LayerNorm(width),
            nn.LayerNorm(width),
            nn.LayerNorm(width),
        )
        self.query, self.key_value = (
            nn.Linear(width, width),
            nn.Linear(width, 2 * width),
        )
        self.project = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, asked: Tensor, latent: Tensor, is_token: Tensor | None) -> Tensor:
        """Asked (B, M, D) of latent tokens (B, 1 + V, D), of which is_token (B, 1, 1, 1 + V) is no padding."""
        query = (
            self.query(self.norm1(asked)).unflatten(2, (self.heads, -1)).transpose(1, 2)
        )
        key, value = (
            self.key_value(self.norm_kv(latent))
            .unflatten(2, (2, self.heads, -1))
            .permute(2, 0, 3, 1, 4)
        )
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=is_token)
        asked = asked + self.project(attended.transpose(1, 2).flatten(2))
        return asked + self.mlp(self.norm2(asked))  # type: ignore[no-any-return]


class MaskedCellTransformer(CellTransformer):
    """Hidden genes, expressed or drawn from the others, ask for their counts. Implements `MaskedModel`.

    typical_length: genes in play in a usual cell, for plans and costs. expressed_share: of them.
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
            _Question(width, heads) for _ in range(decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(width)
        self.answer_genes = nn.Embedding(num_genes, width)
        self.answer_bias = nn.Embedding(num_genes, 1)
        nn.init.normal_(self.ask_genes.weight, std=0.5)
        nn.init.normal_(self.answer_genes.weight, std=0.02)
        nn.init.zeros_(self.answer_bias.weight)

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """Loss over hidden genes; predictions (B, M): their expected counts."""
        latent, sizes = self.encode(batch, mask)
        genes, values = (
            batch["columns"].gather(1, mask.masked),
            batch["values"].gather(1, mask.masked),
        )
        decoded = self.decode(latent, genes, mask).float()
        shares = self.gene_shares[genes]
        losses = self.likelihood.losses(
            decoded,
            values,
            shares,
            sizes,
            genes,
            batch["values"].sum(dim=1, keepdim=True),
        )
        return MaskedOutput(
            summed(losses, mask.masked_weight),
            self.likelihood.rates(decoded, shares, sizes),
        )

    def decode(self, latent: Tensor, genes: Tensor, mask: Mask) -> Tensor:
        """(B, M) the decoder's word on genes (B, M)."""
        asked = self.ask_genes(genes) + self.ask_cell(latent[:, :1])
        is_token = None
        if mask.visible_weight is not None:
            is_token = F.pad(mask.visible_weight, (1, 0), value=True)[:, None, None]
        for question in self.questions:
            asked = question(asked, latent, is_token)
        answers: Tensor = self.decoder_norm(asked) * self.answer_genes(genes)
        scores: Tensor = answers.sum(dim=2) + self.answer_bias(genes)[:, :, 0]
        return scores

    def impute(
        self, values: Tensor, is_masked: Tensor, measured: Tensor | None = None
    ) -> Tensor:
        """(B, G) expected counts of hidden genes, given the visible ones of values (B, G); visible ones as they are."""
        in_play = (values > 0) | is_masked
        order = (
            (~in_play)
            .long()
            .argsort(dim=1, stable=True)[:, : int(in_play.sum(dim=1).max())]
        )
        present = in_play.gather(1, order)
        hidden = is_masked.gather(1, order) & present
        batch = {"columns": order, "values": values.gather(1, order) * present}
        if measured is not None:
            batch["measured"] = measured
        mask = build_mask(hidden, present & ~hidden)
        found = self(batch, mask).predictions
        where = order.gather(1, mask.masked)
        if mask.masked_weight is not None:  # padding is written where nobody looks
            where = where.masked_fill(~mask.masked_weight, self.num_genes)
        full = torch.cat([values, values.new_zeros(len(values), 1)], dim=1)
        return full.scatter(1, where, found)[:, :-1]

    def training_flops(self, num_visible: int) -> int:
        """Operations of forward and backward for one usual cell with num_visible genes in sight."""
        width, seen, asked = self.width, 1 + num_visible, self._asked(num_visible)
        total = 2 * linear_flops(seen, width, width) + len(self.blocks) * block_flops(
            seen, width, 4 * width
        )
        for _ in self.questions:
            total += 2 * linear_flops(asked, width, width) + linear_flops(
                seen, width, 2 * width
            )
            total += (
                2 * linear_flops(asked, width, 2 * width) + 7 * 2 * asked * seen * width
            )
        return total + 6 * asked * width

    def saved_values(self, num_visible: int) -> Memory:
        """Activations that one usual cell keeps for backward, roughly: decoder tables are not among them."""
        width, seen, asked = self.width, 1 + num_visible, self._asked(num_visible)
        blocks = [block_saved(seen, width, 4 * width, self.heads) for _ in self.blocks]
        wide = (
            sum(block.wide for block in blocks) + seen * 3 * width + asked * 4 * width
        )
        narrow = sum(block.narrow for block in blocks) + len(self.questions) * (
            asked * 8 * width + seen * 3 * width
        )
        return Memory(wide, narrow)

    def _asked(self, num_visible: int) -> int:
        """Hidden genes, expressed and others, of a usual cell with num_visible left in sight."""
        return round(max(0, self.grid[0] - num_visible) / self.expressed_share)
