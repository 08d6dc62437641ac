"""Both encoders of single cells as models of transformers. Needs torch, numpy and transformers alone.

`r2mae export --to transformers` copies this file beside the weights.

Shapes: B cells, G genes, L genes of the longest list, D features, H hidden width,
K principal components.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as in torch's documentation
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

# Relative: transformers copies these files too.
from .cell_input import read_cells
from .configuration_cell import CellConfig, CellMLPConfig, CellTransformerConfig

_TINY = 1e-8  # keeps quotients finite


class CellPreTrainedModel(PreTrainedModel):
    """Reading of cells."""

    config_class: type[CellConfig] = CellConfig

    def encode(self, adata: Any) -> dict[str, Tensor]:
        """The input of an AnnData's cells, genes matched by name: `model(**model.encode(adata))`.

        Returns: "values" (B, G), and "measured" (B, G) where adata lacks genes.
        Raises: ValueError for cells that the model cannot read, see `read_cells`.
        """
        config = self.config
        values, is_measured = read_cells(
            adata,
            config.genes,
            matrix=config.matrix,
            genes_by=config.genes_by,
            duplicates=config.duplicates,
            is_counts=config.values == "counts",
            round_counts=config.round_counts,
        )
        inputs = {"values": torch.from_numpy(values).to(self.device)}
        if not is_measured.all():
            measured = torch.from_numpy(is_measured).to(self.device)
            inputs["measured"] = measured.expand(len(values), -1)
        return inputs


class CellEncoder(CellPreTrainedModel):
    """Normalisation of counts."""

    gene_shares: Tensor  # (G,) fraction of a mean cell's counts

    def __init__(self, config: CellConfig) -> None:
        super().__init__(config)
        self.register_buffer("gene_shares", torch.zeros(len(config.genes)))

    def normalize(self, values: Tensor, measured: Tensor | None) -> Tensor:
        """(B, G) log1p of counts per target_sum, or scaled values as they are.

        Library sizes are the counts of measured genes over their share of a mean cell's.
        """
        if self.config.values != "counts":
            return values
        share = values.new_ones(len(values), 1)
        if measured is not None:
            # Not a matrix product, which autocast would round to bf16.
            share = (measured * self.gene_shares).sum(dim=1, keepdim=True)
        counts = values.sum(dim=1, keepdim=True).clamp(min=1)
        sizes = counts / share.clamp(min=_TINY)
        return torch.log1p(values * (self.config.target_sum / sizes))


class Completion(nn.Module):
    """Conditional mean of genes that were not measured, under probabilistic PCA of training cells."""

    mean: Tensor
    axes: Tensor
    noise_ratio: Tensor

    def __init__(self, num_genes: int, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_genes))
        self.register_buffer("axes", torch.zeros(components, num_genes))
        self.register_buffer("noise_ratio", torch.ones(components))

    @torch.no_grad()
    def forward(self, inputs: Tensor, measured: Tensor | None) -> tuple[Tensor, Tensor]:
        """(completed inputs (B, G), principal components (B, K)).

        Rows of one `measured` (G,) share a factorisation.
        """
        if measured is None:
            measured = torch.ones_like(inputs, dtype=torch.bool)
        with torch.autocast(inputs.device.type, enabled=False):
            return self._complete(inputs, measured)

    def _complete(self, inputs: Tensor, measured: Tensor) -> tuple[Tensor, Tensor]:
        patterns, pattern_of = measured.unique(dim=0, return_inverse=True)
        scores = inputs.new_zeros(len(inputs), len(self.axes))
        for number, is_measured in enumerate(patterns):
            rows, weight = pattern_of == number, is_measured.to(inputs.dtype)
            around = (inputs[rows] - self.mean) * weight
            precision = (self.axes * weight) @ self.axes.T + torch.diag(
                self.noise_ratio
            )
            factor = torch.linalg.cholesky(precision)
            scores[rows] = torch.cholesky_solve((around @ self.axes.T).T, factor).T
        filled = self.mean + scores @ self.axes
        return torch.where(measured, inputs, filled), scores


class CellMLPModel(CellEncoder):
    """Expression of all genes -> features."""

    config_class = CellMLPConfig

    def __init__(self, config: CellMLPConfig) -> None:
        super().__init__(config)
        num_genes, hidden = len(config.genes), config.hidden
        self.completion = None
        self.embed_values = nn.Linear(num_genes, hidden)
        if config.components:
            self.completion = Completion(num_genes, config.components)
        else:
            self.embed_hidden = nn.Linear(num_genes, hidden, bias=False)
        self.norm = nn.LayerNorm(hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.GELU(),
                nn.Dropout(config.dropout),
                nn.Linear(hidden, hidden),
                nn.LayerNorm(hidden),
            )
            for _ in range(config.depth)
        )
        self.features = nn.Sequential(
            nn.GELU(), nn.Dropout(config.dropout), nn.Linear(hidden, config.width)
        )
        self.post_init()

    def forward(
        self, values: Tensor, measured: Tensor | None = None, **_: Any
    ) -> BaseModelOutputWithPooling:
        """values, measured (B, G) -> pooler_output (B, D), as a token last_hidden_state.

        With the pooling "concat", pooler_output is (B, D + K).
        """
        inputs = self.normalize(values, measured)
        if self.completion is not None:
            inputs, components = self.completion(inputs, measured)
        latent = self.embed_values(inputs)
        if measured is not None and self.completion is None:
            latent = latent + self.embed_hidden((~measured).to(inputs.dtype))
        latent = self.norm(latent)
        for block in self.blocks:
            latent = latent + block(latent)
        features = self.features(latent)
        pooled = features
        if self.config.pooling == "concat":
            pooled = torch.cat([features, components], dim=1)
        return BaseModelOutputWithPooling(
            last_hidden_state=features[:, None], pooler_output=pooled
        )


class CellBlock(nn.Module):
    """Pre-normalised self-attention and MLP; names of parts are those of timm."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}
        )
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, is_token: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D). is_token: (B, 1, 1, T), False for padding."""
        projected = self.attn["qkv"](self.norm1(tokens))
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in projected.chunk(3, dim=2)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=is_token)
        mixed = self.attn["proj"](mixed.transpose(1, 2).flatten(2))
        tokens = tokens + self.dropout(mixed)
        wide = self.dropout(F.gelu(self.mlp["fc1"](self.norm2(tokens))))
        return tokens + self.dropout(self.mlp["fc2"](wide))  # type: ignore[no-any-return]


class CellTransformerModel(CellEncoder):
    """A token for the cell and one for each expressed gene -> features."""

    config_class = CellTransformerConfig

    def __init__(self, config: CellTransformerConfig) -> None:
        super().__init__(config)
        width = config.width
        self.embed_genes = nn.Embedding(len(config.genes), width)
        self.embed_values = nn.Sequential(
            nn.Linear(1, width), nn.GELU(), nn.Linear(width, width)
        )
        self.cell_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(
            CellBlock(width, config.heads, config.dropout) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.post_init()

    def forward(
        self, values: Tensor, measured: Tensor | None = None, **_: Any
    ) -> BaseModelOutputWithPooling:
        """values, measured (B, G) -> last_hidden_state (B, 1 + L, D), pooler_output (B, D).

        Tokens are the cell's, its expressed genes' in the model's order, and padding of 0.
        """
        is_expressed = values > 0
        longest = int(is_expressed.sum(dim=1).max())
        order = (~is_expressed).to(torch.uint8).argsort(dim=1, stable=True)
        genes = order[:, :longest]
        inputs = self.normalize(values, measured).gather(1, genes)
        tokens = self.embed_genes(genes) + self.embed_values(inputs[:, :, None])
        tokens = torch.cat([self.cell_token.expand(len(tokens), -1, -1), tokens], dim=1)
        is_token = F.pad(is_expressed.gather(1, genes), (1, 0), value=True)
        for block in self.blocks:
            tokens = block(tokens, is_token[:, None, None])
        tokens = self.norm(tokens) * is_token[:, :, None]
        pooled = tokens[:, 0]
        if self.config.pooling == "mean":
            pooled = tokens.sum(dim=1) / is_token.sum(dim=1, keepdim=True)
        return BaseModelOutputWithPooling(
            last_hidden_state=tokens, pooler_output=pooled
        )


CellMLPModel.register_for_auto_class("AutoModel")
CellTransformerModel.register_for_auto_class("AutoModel")
