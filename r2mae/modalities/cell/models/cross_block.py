"""A decoder block of the transformer of cells.

Shapes: B cells, V visible and M hidden genes, D width.
"""

import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor, nn


class CrossBlock(nn.Module):
    """A pre-norm block: hidden genes attend to visible ones, then an MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.norm_kv = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.project = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(
        self, hidden: Tensor, latent: Tensor, is_token: Tensor | None
    ) -> Tensor:
        """Hidden genes (B, M, D), visible tokens (B, 1 + V, D) -> (B, M, D).

        is_token: (B, 1, 1, 1 + V) bool, False for padding; None without padding.
        """
        query = self.query(self.norm1(hidden)).unflatten(2, (self.heads, -1))
        key_value = self.key_value(self.norm_kv(latent))
        split = key_value.unflatten(2, (2, self.heads, -1))
        key, value = split.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(
            query.transpose(1, 2), key, value, attn_mask=is_token
        )
        hidden = hidden + self.project(attended.transpose(1, 2).flatten(2))
        return hidden + self.mlp(self.norm2(hidden))  # type: ignore[no-any-return]
