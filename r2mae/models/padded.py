"""Attention over padded rows, one segment a row, where no shape depends on the data.

Exporters trace it in place of the packed sequence of `segments`, which computes the same.

Shapes: B rows, N tokens of the longest, T = B * N, H heads, d values of a head.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - as in torch's documentation
from torch import Tensor


@dataclass(frozen=True)
class PaddedRows:
    """The order of a batch's tokens: row by row, padding among them.

    is_token: (B, N) bool, False for padding at the end of a row.
    """

    is_token: Tensor

    @property
    def slots(self) -> slice:
        """All tokens of the flattened rows."""
        return slice(None)

    @property
    def positions(self) -> Tensor:
        """(T,) int64, position of each token in its row."""
        columns = torch.arange(self.is_token.shape[1], device=self.is_token.device)
        return columns.expand(self.is_token.shape).flatten()

    def attention(
        self, query: Tensor, key: Tensor, value: Tensor, window: int | None
    ) -> Tensor:
        """Attention inside each row -> (T, H * d).

        query, key, value: (T, H, d).
        window: tokens attend at most this far, on both sides; None: to their full row.
        """
        shape = self.is_token.shape
        queries, keys, values = (
            heads.unflatten(0, shape).transpose(1, 2) for heads in (query, key, value)
        )
        mask = self._mask(window)
        attended = F.scaled_dot_product_attention(queries, keys, values, mask)
        return attended.transpose(1, 2).flatten(2).flatten(0, 1)

    def _mask(self, window: int | None) -> Tensor:
        """(B, 1, 1, N) bool, or (B, 1, N, N) with a window: the keys of each query."""
        mask = self.is_token[:, None, None]
        if window is None:
            return mask
        columns = torch.arange(self.is_token.shape[1], device=mask.device)
        distance = (columns[:, None] - columns).abs()
        # Padding may see no token, and softmax over none is NaN: it sees itself.
        return mask & (distance <= window) | (distance == 0)
