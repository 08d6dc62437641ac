"""A masked autoencoder (MLP) of cells over all genes.

Hidden genes enter the network as their conditional mean given the visible ones, or as 0
beside the mask. Either way a hidden gene differs from one with a count of 0.

Shapes: B cells, G genes, H hidden width, D features.
"""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from r2mae.masking.mask import Mask
from r2mae.modalities.cell.models.cell_model import (
    CellMasking,
    CellModel,
    CountLikelihood,
    Likelihood,
    summed,
)
from r2mae.modalities.cell.models.completion import Completion
from r2mae.models.depths import parameter_depths
from r2mae.models.measured_cost import MeasuredCost
from r2mae.models.partial_copy import copy_with
from r2mae.models.pooling import Pool, as_token
from r2mae.models.protocol import MaskedOutput
from r2mae.models.recompute import recompute


class CellMLP(CellModel):
    """Expression of all genes and the mask -> D features. Implements `Encoder`.

    depth: residual layers of width `hidden`.
    completion: fills hidden genes of the input. None: they are 0, and the mask is an
        input of its own.
    """

    def __init__(
        self,
        num_genes: int,
        gene_shares: npt.NDArray[np.float64] | None,
        *,
        width: int,
        depth: int,
        hidden: int,
        completion: Completion | None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(num_genes, gene_shares)
        self.width = width
        self.pooling: Pool = "mean"
        self.completion = completion
        self.embed_values = nn.Linear(num_genes, hidden)
        if completion is None:
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
        """(features (B, D), library sizes (B, 1) or None where values are not counts).

        Unmeasured genes are treated as hidden.
        """
        inputs, unknown, sizes = self._read(batch, is_masked)
        return self._encode(inputs, unknown), sizes

    def _read(
        self, batch: dict[str, Any], is_masked: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """(inputs (B, G), unknown genes (B, G) or None, library sizes (B, 1) or None)."""
        measured = batch.get("measured")
        unknown = is_masked
        if measured is not None:
            unknown = ~measured if is_masked is None else is_masked | ~measured
        sizes = self.sizes(batch, is_masked) if self.counts else None
        return self.inputs(batch, is_masked, sizes), unknown, sizes

    def _encode(self, inputs: Tensor, unknown: Tensor | None) -> Tensor:
        latent = self.norm(self._embed(inputs, unknown))
        for block in self.blocks:
            latent = latent + block(latent)
        return self.features(latent)  # type: ignore[no-any-return]

    def _embed(self, inputs: Tensor, unknown: Tensor | None) -> Tensor:
        """First layer (B, H). inputs: (B, G). unknown: (B, G) bool, None where all is known."""
        if self.completion is not None:
            if unknown is not None:
                inputs = self.completion(inputs, unknown)
            return self.embed_values(inputs)  # type: ignore[no-any-return]
        if unknown is None:  # zeros, as DDP waits for a gradient of every parameter
            unknown = torch.zeros_like(inputs, dtype=torch.bool)
        hidden = self.embed_hidden(unknown.to(inputs.dtype))
        return self.embed_values(inputs) + hidden  # type: ignore[no-any-return]

    def embed(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, D) features of visible genes; without a mask, of complete cells.

        With the pooling "concat", (B, D + K): beside the K principal components that
        complete hidden genes.
        """
        is_masked = None if mask is None else mask.is_masked
        inputs, unknown, _ = self._read(batch, is_masked)
        features = self._encode(inputs, unknown)
        if self.pooling != "concat" or self.completion is None:
            return features
        if unknown is None:
            unknown = torch.zeros_like(inputs, dtype=torch.bool)
        return torch.cat([features, self.completion.scores(inputs, unknown)], dim=1)

    @property
    def poolings(self) -> tuple[Pool, ...]:
        """ "concat" joins the linear features of the completion to those of the network."""
        return ("mean",) if self.completion is None else ("mean", "concat")

    def embed_tokens(
        self, batch: dict[str, Any], mask: Mask | None = None
    ) -> tuple[Tensor, Tensor]:
        """Features as the only token: (tokens (B, 1, D), is_token (B, 1))."""
        return as_token(self.encode(batch, None if mask is None else mask.is_masked)[0])

    @property
    def num_layers(self) -> int:
        """Residual layers of width H, then the features."""
        return len(self.blocks) + 1

    def at_layer(self, layer: int) -> Self:
        """The encoder up to a residual layer, whose H values are the features."""
        if layer == self.num_layers:
            return self
        hidden = self.embed_values.out_features
        return copy_with(
            self, blocks=self.blocks[:layer], features=nn.Identity(), width=hidden
        )

    def layers(self) -> dict[str, int]:
        """Parameter name -> depth, for the encoder."""
        first = dict.fromkeys(("embed_values", "embed_hidden", "norm"), 0)
        return parameter_depths(self, first | {"features": len(self.blocks) + 1})

    def compile_blocks(self) -> None:
        """Compile the repeated blocks in place."""
        for block in self.blocks:
            block.compile(dynamic=True)

    def recompute_blocks(self) -> None:
        """Recompute activations of the blocks in backward."""
        recompute(self.blocks)


class MaskedCellMLP(MeasuredCost, CellMLP):
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
        completion: Completion | None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            num_genes,
            gene_shares,
            width=width,
            depth=depth,
            hidden=hidden,
            completion=completion,
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

    @property
    def masking(self) -> CellMasking:
        """Every measured gene may be masked."""
        return CellMasking(self.grid)

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """Loss over hidden genes; predictions (B, M): expected counts, or scaled values."""
        features, sizes = self.encode(batch, mask.is_masked)
        decoded = self.predict(self.decoder(features)).gather(1, mask.masked).float()
        values = batch["values"].gather(1, mask.masked)
        shares = self.gene_shares[mask.masked]
        totals = None if sizes is None else batch["values"].sum(dim=1, keepdim=True)
        losses = self.likelihood.losses(
            decoded, values, shares, sizes, mask.masked, totals
        )
        predictions = self.likelihood.rates(decoded, shares, sizes)
        return MaskedOutput(summed(losses, mask.masked_weight), predictions)

    def impute(
        self, values: Tensor, is_masked: Tensor, measured: Tensor | None = None
    ) -> Tensor:
        """(B, G) expected counts, or values, of all genes given the visible ones (B, G)."""
        batch = {"values": values}
        if measured is not None:
            batch["measured"] = measured
        features, sizes = self.encode(batch, is_masked)
        decoded = self.predict(self.decoder(features)).float()
        return self.likelihood.rates(decoded, self.gene_shares, sizes)

    def cost_inputs(
        self, num_samples: int, num_visible: int
    ) -> tuple[dict[str, Any], Mask]:
        """Cells of any values, for the costs."""
        shape, hidden = (num_samples, self.num_genes), self.num_genes - num_visible
        is_masked = torch.ones(shape, dtype=torch.bool)
        genes = torch.ones(shape, dtype=torch.int64)
        mask = Mask(is_masked, genes[:, hidden:], genes[:, :hidden])
        return {"values": torch.ones(shape)}, mask


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.models.protocol import Encoder, MaskedModel, PoolsTokens, ReadsLayers

    _encoder: type[Encoder] = CellMLP
    _pools_tokens: type[PoolsTokens] = CellMLP
    _reads_layers: type[ReadsLayers] = CellMLP
    _masked_model: type[MaskedModel] = MaskedCellMLP
