"""A masked autoencoder of cells over all genes: hidden is not zero, it is said.

Shapes: B cells, G genes, H hidden width, D features.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from r2mae.masking.pattern import Mask
from r2mae.modalities.cell.models.cell_model import (
    CellModel,
    CountLikelihood,
    Likelihood,
    summed,
)
from r2mae.models.protocol import MaskedOutput, Memory
from r2mae.models.rehearsal import Rehearsal, rehearse


class CellMLP(CellModel):
    """Expression of all genes and what is hidden of it -> D features. Implements `Encoder`.

    depth: residual layers of width `hidden`.
    """

    gathers = True

    def __init__(
        self,
        num_genes: int,
        gene_shares: npt.NDArray[np.float64] | None,
        *,
        width: int,
        depth: int,
        hidden: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(num_genes, gene_shares)
        self.width = width
        self.embed_values = nn.Linear(num_genes, hidden)
        self.embed_hidden = nn.Linear(num_genes, hidden, bias=False)
        self.norm = nn.LayerNorm(hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Linear(hidden, hidden),
                nn.LayerNorm(hidden),
            )
            for _ in range(depth)
        )
        self.features = nn.Sequential(
            nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )

    def encode(
        self, batch: dict[str, Any], is_masked: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """(features (B, D), sizes (B, 1) or None where values are no counts); genes not measured count as hidden."""
        measured = batch.get("measured")
        unknown = is_masked
        if measured is not None:
            unknown = ~measured if is_masked is None else is_masked | ~measured
        sizes = self.sizes(batch, is_masked) if self.counts else None
        latent = self.embed_values(self.inputs(batch, is_masked, sizes))
        if unknown is not None:
            latent = latent + self.embed_hidden(unknown.to(latent.dtype))
        latent = self.norm(latent)
        for block in self.blocks:
            latent = latent + block(latent)
        return self.features(latent), sizes

    def embed(self, batch: dict[str, Any]) -> Tensor:
        """(B, D) features of whole cells."""
        return self.encode(batch, None)[0]

    def layers(self) -> dict[str, int]:
        """Depth of every encoder parameter."""
        depth = {
            "embed_values": 0,
            "embed_hidden": 0,
            "norm": 0,
            "features": len(self.blocks) + 1,
        }
        return {
            name: int(name.split(".")[1]) + 1
            if name.startswith("blocks.")
            else depth[name.split(".")[0]]
            for name, _ in self.named_parameters()
            if name.split(".")[0] in (*depth, "blocks")
        }

    def compile_blocks(self) -> None:
        """Compile the repeated blocks in place."""
        for block in self.blocks:
            block.compile(dynamic=True)


class MaskedCellMLP(CellMLP):
    """Predicts hidden genes from the features of visible ones. Implements `MaskedModel`."""

    def __init__(
        self,
        num_genes: int,
        gene_shares: npt.NDArray[np.float64] | None,
        *,
        width: int,
        depth: int,
        hidden: int,
        likelihood: Likelihood,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            num_genes,
            gene_shares,
            width=width,
            depth=depth,
            hidden=hidden,
            dropout=dropout,
        )
        self.grid = (num_genes,)
        self.likelihood = CountLikelihood(likelihood, num_genes)
        self.decoder = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.LayerNorm(hidden),
            nn.Dropout(dropout),
        )
        self.predict = nn.Linear(hidden, num_genes)
        nn.init.normal_(self.predict.weight, std=0.01)
        nn.init.zeros_(self.predict.bias)

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """Loss over hidden genes; predictions (B, M): expected counts, or scaled values."""
        features, sizes = self.encode(batch, mask.is_masked)
        decoded = self.predict(self.decoder(features)).gather(1, mask.masked).float()
        values, shares = (
            batch["values"].gather(1, mask.masked),
            self.gene_shares[mask.masked],
        )
        totals = None if sizes is None else batch["values"].sum(dim=1, keepdim=True)
        losses = self.likelihood.losses(
            decoded, values, shares, sizes, mask.masked, totals
        )
        return MaskedOutput(
            summed(losses, mask.masked_weight),
            self.likelihood.rates(decoded, shares, sizes),
        )

    def impute(
        self, values: Tensor, is_masked: Tensor, measured: Tensor | None = None
    ) -> Tensor:
        """(B, G) what is expected of every gene, given the visible ones of values (B, G)."""
        batch = {"values": values} | (
            {} if measured is None else {"measured": measured}
        )
        features, sizes = self.encode(batch, is_masked)
        return self.likelihood.rates(
            self.predict(self.decoder(features)).float(), self.gene_shares, sizes
        )

    def training_flops(self, num_visible: int) -> int:
        """Operations of forward and backward for one cell."""
        return self._rehearse(num_visible).flops // 2

    def saved_values(self, num_visible: int) -> Memory:
        """Activations that one cell keeps for backward."""
        found = self._rehearse(num_visible)
        return Memory(found.wide // 2, found.narrow // 2)

    def _rehearse(self, num_visible: int) -> Rehearsal:
        def batch_of_two() -> tuple[Any, ...]:
            is_masked = torch.ones(2, self.num_genes, dtype=torch.bool)
            places = torch.ones(2, self.num_genes, dtype=torch.int64)
            hidden = self.num_genes - num_visible
            return {"values": torch.ones(2, self.num_genes)}, Mask(
                is_masked, places[:, hidden:], places[:, :hidden]
            )

        return rehearse(
            self, batch_of_two, lambda output: output.loss.total, bf16=False
        )
