"""Shared by the models of DNA: codes of bases, aligned species, k-mer counts, loss weights.

Shapes: B windows, N positions, S species, the reference among them.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor, nn

from r2mae.errors import InputError
from r2mae.masking.mask import Mask
from r2mae.modalities.dna.conservation import Conservation

# Codes of the reference: 0 to 3 for A C G T, then these.
NUM_BASES = 4
UNKNOWN, MASKED, PADDING = 4, 5, 6
NUM_LETTERS = 7
# Codes of other species: A C G T, unknown, gap. A higher code becomes all zeros.
OTHER_LETTERS = 6
_BASELINE_K = 5  # bases of the k-mers that the baseline counts


class Columns(nn.Module):
    """One-hot alignment columns of the other species, projected to D features.

    Source: Benegas et al. 2025 (GPN-MSA). Differs: the reference's bases have an
    embedding of their own, which is added.
    """

    def __init__(self, num_others: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(num_others * OTHER_LETTERS, width, bias=False)

    def forward(self, others: Tensor) -> Tensor:
        """(..., S - 1) uint8 -> (..., D)."""
        letters = torch.arange(OTHER_LETTERS, device=others.device, dtype=others.dtype)
        one_hot = (others[..., None] == letters).flatten(-2)
        features: Tensor = self.project(one_hot.to(self.project.weight.dtype))
        return features


def refuse_species(columns: Columns | None) -> None:
    """Raise InputError for aligned species, which the linear theory does not know."""
    if columns is not None:
        raise InputError(
            "data must be a genome without aligned species for the linear theory, in "
            "which every input is masked, got an alignment."
        )


def weights_at(batch: dict[str, Any], mask: Mask, slots: Tensor) -> Tensor | None:
    """(M,) weights of the samples times those of conservation; None where all are 1.

    slots: (M,) places of masked positions in the flattened rows.
    """
    weights = mask.weight_at(slots)
    if "weights" not in batch:
        return weights
    conserved: Tensor = batch["weights"].flatten()[slots]
    return conserved if weights is None else conserved * weights


def over_strands(
    embed: Callable[[dict[str, Any]], Tensor], batch: dict[str, Any]
) -> Tensor:
    """(B, D) features; the mean of both strands where the batch has "other_strand"."""
    features, other = embed(batch), batch.get("other_strand")
    return features if other is None else (features + embed(other)) / 2


def tokens_of_strands(
    embed_tokens: Callable[[dict[str, Any]], tuple[Tensor, Tensor]],
    batch: dict[str, Any],
) -> tuple[Tensor, Tensor]:
    """(tokens (B, T, D), is_token (B, T)), with those of "other_strand" after the strand's."""
    strands = [batch]
    if "other_strand" in batch:
        strands.append(batch["other_strand"])
    tokens, is_token = zip(*map(embed_tokens, strands), strict=True)
    return torch.cat(tokens, dim=1), torch.cat(is_token, dim=1)


def baseline(batch: dict[str, Any], is_hidden: Tensor | None = None) -> Tensor:
    """(B, 1024) log1p of 5-mer counts, over both strands where the batch has them.

    is_hidden: (B, N) hidden bases of the given strand, whose complements are hidden too.
        Counts are then expected ones, as in `expected_counts`.
    """
    if is_hidden is None:
        counts = kmer_counts(batch["bases"])
        if "other_strand" in batch:
            counts = counts + kmer_counts(batch["other_strand"]["bases"])
        return torch.log1p(counts)
    bases = batch["bases"].masked_fill(is_hidden, MASKED)
    counts = expected_counts(bases)
    if "other_strand" in batch:
        complements = torch.where(bases < NUM_BASES, NUM_BASES - 1 - bases, bases)
        counts = counts + expected_counts(complements.flip(1))
    # Interpolated between integers: most counts are 0 or 1, and for a count that is 0 or 1
    # the logarithm of the expected count would exceed the expected logarithm.
    lower = counts.floor()
    return torch.log1p(lower).lerp(torch.log1p(lower + 1), counts - lower)


def expected_counts(bases: Tensor) -> Tensor:
    """(B, 1024) expected counts of 5-mers in bases (B, N), some of them MASKED.

    Masked bases are taken as independent draws from the base frequencies of the visible
    part of their sequence. 5-mers with N are left out.
    """
    # All zeros for codes that are not a base.
    one_hot = F.one_hot(bases.clamp(max=NUM_BASES), NUM_BASES + 1)[..., :-1].float()
    frequencies = one_hot.sum(dim=1, keepdim=True) + 1
    frequencies = frequencies / frequencies.sum(dim=2, keepdim=True)
    is_masked = (bases == MASKED)[:, :, None]
    probabilities = torch.where(is_masked, frequencies, one_hot)
    if bases.shape[1] < _BASELINE_K:
        return probabilities.new_zeros(len(bases), NUM_BASES**_BASELINE_K)
    return torch.stack([_sum_kmers(row) for row in probabilities])


def _sum_kmers(probabilities: Tensor) -> Tensor:
    """(1024,) expected counts of 5-mers from probabilities (N, 4) of bases."""
    count = len(probabilities) - _BASELINE_K + 1
    # A product of matrices: no array of each position and 5-mer is needed.
    first = _kmer_probabilities(probabilities, 3)[:count]
    last = _kmer_probabilities(probabilities[3:], _BASELINE_K - 3)
    return (first.T @ last).flatten()


def _kmer_probabilities(probabilities: Tensor, length: int) -> Tensor:
    """(N - length + 1, 4^length) of each k-mer at each position, from (N, 4) of bases."""
    windows = probabilities.unfold(0, length, 1)
    products = windows[:, :, 0]
    for offset in range(1, length):
        products = (products[:, :, None] * windows[:, None, :, offset]).flatten(1)
    return products


def kmer_counts(bases: Tensor, length: int = _BASELINE_K) -> Tensor:
    """(B, 4^length) counts of each k-mer in bases (B, N); those with N are left out."""
    counts = torch.zeros(len(bases), NUM_BASES**length, device=bases.device)
    if bases.shape[1] < length:
        return counts
    kmers = bases.unfold(1, length, 1)
    is_known = (kmers < NUM_BASES).all(dim=2)
    scale = NUM_BASES ** torch.arange(length - 1, -1, -1, device=bases.device)
    numbers = (kmers.clamp(max=NUM_BASES - 1) * scale).sum(dim=2)
    return counts.scatter_add_(1, numbers, is_known.float())


def loss_weights(
    conservation: Conservation | None, batch: dict[str, Any], seed: int
) -> dict[str, Tensor]:
    """{"weights", "labels"}, both (B, N); empty where all bases weigh the same."""
    if conservation is None:
        return {}
    phylop, phastcons = batch.get("phylop"), batch.get("phastcons")
    weights = conservation.weights(batch["is_repeat"], phylop, phastcons)
    labels = conservation.labels(batch["bases"], phastcons, seed, batch["positions"])
    return {"weights": weights, "labels": labels}
