"""What models of DNA share: codes of bases, columns of other species, counts of k-mers, weights of a loss.

Shapes: B windows, N positions, S species, the reference among them.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from r2mae.modalities.dna.conservation import Conservation

NUM_BASES, UNKNOWN, MASKED, PADDING = (
    4,
    4,
    5,
    6,
)  # codes of the reference: A C G T, then these
NUM_LETTERS = 7
OTHER_LETTERS = (
    6  # of other species: A C G T, unknown, gap; any other code is no letter at all
)
_WORD = 5  # bases of the words that a baseline counts


class Columns(nn.Module):
    """Other species at each position, concatenated one-hot, as features (., D).

    Source: Benegas et al. 2025 (GPN-MSA). Differs: the reference's letters have an embedding of their own beside it.
    """

    def __init__(self, num_others: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(num_others * OTHER_LETTERS, width, bias=False)

    def forward(self, others: Tensor) -> Tensor:
        """(..., S - 1) uint8 -> (..., D)."""
        letters = torch.arange(OTHER_LETTERS, device=others.device, dtype=others.dtype)
        weight = self.project.weight
        features: Tensor = self.project(
            (others[..., None] == letters).flatten(-2).to(weight.dtype)
        )
        return features


def over_strands(
    embed: Callable[[dict[str, Any]], Tensor], batch: dict[str, Any]
) -> Tensor:
    """(B, D) features of a batch; where it brings the other strand, the mean of both."""
    features, other = embed(batch), batch.get("other_strand")
    return features if other is None else (features + embed(other)) / 2


def baseline(batch: dict[str, Any]) -> Tensor:
    """(B, 1024) log1p of how often each word of 5 bases occurs, on both strands where a batch brings the other."""
    counts = word_counts(batch["bases"])
    return torch.log1p(
        counts
        + (
            word_counts(batch["other_strand"]["bases"])
            if "other_strand" in batch
            else 0
        )
    )


def word_counts(bases: Tensor, length: int = _WORD) -> Tensor:
    """(B, 4^length) how often each word of known bases occurs in bases (B, N)."""
    counts = torch.zeros(len(bases), NUM_BASES**length, device=bases.device)
    if bases.shape[1] < length:
        return counts
    words = bases.unfold(1, length, 1)
    is_known = (words < NUM_BASES).all(dim=2)
    scale = NUM_BASES ** torch.arange(length - 1, -1, -1, device=bases.device)
    numbers = (words.clamp(max=NUM_BASES - 1) * scale).sum(dim=2)
    return counts.scatter_add_(1, numbers, is_known.float())


def weighed(
    conservation: Conservation | None, batch: dict[str, Any], seed: int
) -> dict[str, Tensor]:
    """{"weights", "labels"}, both (B, N) a base of a batch; nothing where all weigh alike."""
    if conservation is None:
        return {}
    phylop, phastcons = batch.get("phylop"), batch.get("phastcons")
    weights = conservation.weights(batch["is_repeat"], phylop, phastcons)
    labels = conservation.labels(batch["bases"], phastcons, seed, batch["positions"])
    return {"weights": weights, "labels": labels}
