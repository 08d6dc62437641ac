"""Shared by the models of cells: library sizes of visible genes, likelihoods of hidden ones.

Shapes: B cells, G genes, N positions of a batch (all genes, or a list of some),
M hidden positions.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from r2mae.masking.loss import LossSum
from r2mae.masking.mask import Mask
from r2mae.masking.pattern import Role
from r2mae.modalities.cell.normalization import PER

Likelihood = Literal["negative_binomial", "poisson", "mse"]
_LARGEST = 12.0  # bound of a predicted log fold change against the mean cell
_TINY = 1e-8  # keeps logarithms and quotients finite


@dataclass(frozen=True)
class CellMasking:
    """Every measured gene may be masked. Implements `MaskingRules`."""

    grid: tuple[int, ...]
    gathers: bool = True

    def eligible(self, batch: dict[str, Any]) -> Tensor:
        """(B, N) bool, genes that may be masked, or a `Role` each; unmeasured are absent."""
        roles: Tensor | None = batch.get("roles")
        measured: Tensor | None = batch.get("measured")
        # A list of genes ("columns") holds measured ones only.
        if "columns" in batch or measured is None:
            if roles is None:
                return torch.ones_like(batch["values"], dtype=torch.bool)
            return roles
        if roles is None:
            roles = torch.full_like(measured, Role.HIDEABLE, dtype=torch.int8)
        return roles.masked_fill(~measured, Role.ABSENT)

    def corrupt(self, batch: dict[str, Any], mask: Any, seed: int) -> dict[str, Any]:
        """Nothing: the models leave masked genes out themselves."""
        return {}


class CellModel(nn.Module):
    """A model of G genes. A batch is what `modalities.cell.data.cells.Cells` loads.

    gene_shares: (G,) each gene's fraction of the mean cell's counts; None for values
        that are not counts.
    """

    gene_shares: Tensor

    def __init__(
        self, num_genes: int, gene_shares: npt.NDArray[np.float64] | None
    ) -> None:
        super().__init__()
        self.num_genes = num_genes
        self.counts = gene_shares is not None
        shares = (
            np.full(num_genes, 1 / num_genes) if gene_shares is None else gene_shares
        )
        self.register_buffer(
            "gene_shares", torch.as_tensor(shares, dtype=torch.float32)
        )

    def sizes(self, batch: dict[str, Any], is_masked: Tensor | None) -> Tensor:
        """(B, 1) library sizes, estimated from visible genes.

        Counts of visible genes over the fraction of a mean cell's counts that they make
        up. The true total would leak hidden values, which are part of it.
        """
        values, measured = batch["values"], batch.get("measured")
        shares = self.gene_shares
        if "columns" in batch:
            shares = shares[batch["columns"]]
        visible_share = shares.new_ones(values.shape[0], 1)
        if measured is not None:
            # Not a matrix product, which autocast would round to bf16.
            visible_share = (measured * self.gene_shares).sum(dim=1, keepdim=True)
        if is_masked is not None:
            hidden_share = (is_masked * shares).sum(dim=1, keepdim=True)
            visible_share = visible_share - hidden_share
            values = values.masked_fill(is_masked, 0)
        counts: Tensor = values.sum(dim=1, keepdim=True)
        return counts.clamp(min=1) / visible_share.clamp(min=_TINY)

    def inputs(
        self, batch: dict[str, Any], is_masked: Tensor | None, sizes: Tensor | None
    ) -> Tensor:
        """(B, N) network input, 0 where hidden: log1p of counts per 10,000, or values."""
        values: Tensor = batch["values"]
        if is_masked is not None:
            values = values.masked_fill(is_masked, 0)
        return values if sizes is None else torch.log1p(values * (PER / sizes))

    def baseline(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, G) normalised expression: log1p of counts per 10,000, or scaled values.

        Hidden genes are NaN. In a list of genes they have a count of 0, since an encoder
        of lists cannot tell them from genes without a count.
        """
        values: Tensor = batch["values"]
        visible_share: Tensor | float = 1.0
        if mask is not None and "columns" in batch:
            values = values.masked_fill(mask.is_masked, 0)
        elif mask is not None:
            values = values.masked_fill(mask.is_masked, torch.nan)
            visible_share = self._visible_share(batch, mask.is_masked)
        if "columns" in batch:  # padding has the value 0
            values = values.new_zeros(len(values), self.num_genes).scatter_add_(
                1, batch["columns"], values
            )
        if not self.counts:
            return values
        totals = values.nansum(dim=1, keepdim=True).clamp(min=1) / visible_share
        return torch.log1p(values * (PER / totals))

    def _visible_share(self, batch: dict[str, Any], is_masked: Tensor) -> Tensor:
        """(B, 1) fraction of a mean cell's counts, of measured genes, in visible genes."""
        shares = self.gene_shares.expand(is_masked.shape)
        if "measured" in batch:
            shares = shares * batch["measured"]
        visible = shares.masked_fill(is_masked, 0).sum(dim=1, keepdim=True)
        return (visible / shares.sum(dim=1, keepdim=True)).clamp(min=_TINY)

    def tokens(self, batch: dict[str, Any]) -> Tensor:
        """(B, G, 1) `baseline` with one token per gene."""
        return self.baseline(batch)[:, :, None]

    def paint(self, batch: dict[str, Any], mask: Any) -> None:
        """None: cells have no pictures."""
        return


class CountLikelihood(nn.Module):
    """Likelihood of hidden values given the decoder's output.

    The decoder predicts each gene's log fold change against its usual share of counts.
    negative_binomial learns one dispersion per gene. mse is taken on log1p of counts per
    10,000, or on scaled values.

    Source: Lopez et al. 2018 (scVI) for the negative binomial. Differs: library sizes
    come from visible genes, and the decoder starts at the mean cell.
    """

    def __init__(self, kind: Likelihood, num_genes: int) -> None:
        super().__init__()
        self.kind = kind
        if kind == "negative_binomial":
            self.log_dispersion = nn.Parameter(torch.zeros(num_genes))

    def rates(self, decoded: Tensor, shares: Tensor, sizes: Tensor | None) -> Tensor:
        """Expected counts (B, M), or without sizes expected values.

        decoded: (B, M). shares: (B or 1, M) usual shares. sizes: (B, 1) library sizes.
        """
        if sizes is None:
            return decoded
        if self.kind == "mse":
            return torch.expm1(decoded.clamp(0, _LARGEST)) * (sizes / PER)
        return torch.exp(decoded.clamp(-_LARGEST, _LARGEST)) * (shares + _TINY) * sizes

    def losses(
        self,
        decoded: Tensor,
        values: Tensor,
        shares: Tensor,
        sizes: Tensor | None,
        genes: Tensor,
        totals: Tensor | None,
    ) -> Tensor:
        """(B, M) negative log-likelihood in nats, or squared error.

        values, genes: (B, M). totals: (B, 1) true library sizes, which normalise the
        targets of mse; None for scaled values.
        """
        if self.kind == "mse":
            targets = values
            if totals is not None:
                targets = torch.log1p(values * (PER / totals.clamp(min=1)))
            return (decoded - targets).square()
        rates = self.rates(decoded, shares, sizes)
        log_rates = torch.log(rates.clamp(min=_TINY))
        if self.kind == "poisson":
            return rates - values * log_rates + torch.lgamma(values + 1)
        log_dispersion = self.log_dispersion.clamp(-_LARGEST, _LARGEST)[genes]
        dispersion = log_dispersion.exp()
        log_sum = torch.log(dispersion + rates)
        return (
            torch.lgamma(dispersion)
            + torch.lgamma(values + 1)
            - torch.lgamma(values + dispersion)
            - dispersion * (log_dispersion - log_sum)
            - values * (log_rates - log_sum)
        )


def summed(losses: Tensor, weight: Tensor | None) -> LossSum:
    """Sum of losses (B, M) times weights (B, M), bool or float; over all without them."""
    if weight is None:
        return LossSum(losses.sum(), losses.new_full((), float(losses.numel())))
    # Filled, not multiplied: 0 * inf at padding would be NaN.
    losses, weight = losses.masked_fill(weight == 0, 0), weight.to(losses.dtype)
    return LossSum((losses * weight).sum(), weight.sum())
