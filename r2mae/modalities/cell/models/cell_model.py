"""What masked models of cells share: sizes of cells from what is visible, likelihoods of what is hidden.

Shapes: B cells, G genes, N positions of a batch (all genes, or a list of some), M hidden positions.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from r2mae.masking.loss import LossSum
from r2mae.masking.pattern import Role

Likelihood = Literal["negative_binomial", "poisson", "mse"]
PER = 10_000.0  # counts that expression is given by
_LARGEST = 12.0  # of a predicted log fold change over the mean cell
_TINY = 1e-8


class CellModel(nn.Module):
    """A model of G genes. A batch is what `datasets.cell.Cells` loads.

    gene_shares: (G,) share of a mean cell's counts that each gene has; None for values that are no counts.
    """

    gene_shares: Tensor
    gathers = False

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

    def eligible(self, batch: dict[str, Any]) -> Tensor:
        """(B, N) which genes may be hidden, or their roles; genes that were not measured are absent."""
        roles: Tensor | None = batch.get("roles")
        measured: Tensor | None = batch.get("measured")
        if "columns" in batch or measured is None:
            return (
                torch.ones_like(batch["values"], dtype=torch.bool)
                if roles is None
                else roles
            )
        roles = (
            torch.full_like(measured, Role.HIDEABLE, dtype=torch.int8)
            if roles is None
            else roles
        )
        return roles.masked_fill(~measured, Role.ABSENT)

    def sizes(self, batch: dict[str, Any], is_masked: Tensor | None) -> Tensor:
        """(B, 1) counts that a whole cell would have, by its visible genes and the share of counts these usually have.

        Hidden values do not enter, nor does the total that they are part of.
        """
        values, measured = batch["values"], batch.get("measured")
        shares = (
            self.gene_shares
            if "columns" not in batch
            else self.gene_shares[batch["columns"]]
        )
        known = shares.new_ones(len(values), 1)
        if measured is not None:
            known = (measured.to(shares.dtype) @ self.gene_shares)[:, None]
        if is_masked is None:
            whole: Tensor = values.sum(dim=1, keepdim=True).clamp(min=1) / known.clamp(
                min=_TINY
            )
            return whole
        hidden = (is_masked * shares).sum(dim=1, keepdim=True)
        seen: Tensor = values.masked_fill(is_masked, 0).sum(dim=1, keepdim=True)
        return seen.clamp(min=1) / (known - hidden).clamp(min=_TINY)

    def inputs(
        self, batch: dict[str, Any], is_masked: Tensor | None, sizes: Tensor | None
    ) -> Tensor:
        """(B, N) what is seen: log1p of counts a 10,000, or values as they are; 0 where hidden."""
        values: Tensor = batch["values"]
        seen = values if is_masked is None else values.masked_fill(is_masked, 0)
        return seen if sizes is None else torch.log1p(seen * (PER / sizes))

    def baseline(self, batch: dict[str, Any]) -> Tensor:
        """(B, G) expression as it is given to linear methods: log1p of counts a 10,000, or scaled values."""
        values: Tensor = batch["values"]
        if "columns" in batch:  # padding has the value 0
            values = values.new_zeros(len(values), self.num_genes).scatter_add_(
                1, batch["columns"], values
            )
        if not self.counts:
            return values
        return torch.log1p(
            values * (PER / values.sum(dim=1, keepdim=True).clamp(min=1))
        )

    def tokens(self, batch: dict[str, Any]) -> Tensor:
        """(B, G, 1) `baseline`, a gene a token."""
        return self.baseline(batch)[:, :, None]

    def paint(self, batch: dict[str, Any], mask: Any) -> None:  # noqa: ARG002
        """Cells have no pictures of their own."""
        return


class CountLikelihood(nn.Module):
    """How likely hidden values are, given what a decoder says of each: the log of how many times its usual share.

    negative_binomial has one learnt dispersion a gene. mse is on log1p of counts a 10,000, or on scaled values.

    Source: Lopez et al. 2018 (scVI) for the negative binomial. Differs: sizes come from visible genes, and the decoder
    starts at the mean cell.
    """

    def __init__(self, kind: Likelihood, num_genes: int) -> None:
        super().__init__()
        self.kind = kind
        if kind == "negative_binomial":
            self.log_dispersion = nn.Parameter(torch.zeros(num_genes))

    def rates(self, decoded: Tensor, shares: Tensor, sizes: Tensor | None) -> Tensor:
        """Expected counts, of the decoder's words (B, M), usual shares (B or 1, M) and sizes (B, 1); without sizes,
        expected values."""
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
        """Of values (B, M) of genes (B, M): negative log-likelihood, natural logarithm, or squared error.

        totals: (B, 1) counts of whole cells, which the targets of mse are given by; None for scaled values.
        """
        if self.kind == "mse":
            targets = (
                values
                if totals is None
                else torch.log1p(values * (PER / totals.clamp(min=1)))
            )
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
    """Over positions (B, M) whose weight is not 0; all without."""
    if weight is None:
        return LossSum(losses.sum(), losses.new_full((), float(losses.numel())))
    # Not a product: where nothing is asked, nothing that is not finite gets through.
    return LossSum(losses.masked_fill(~weight, 0).sum(), weight.sum().to(losses.dtype))
