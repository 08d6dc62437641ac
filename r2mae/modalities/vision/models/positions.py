"""Fixed sine-cosine position embeddings on a grid."""

import torch
from torch import Tensor


def sincos_positions(grid: tuple[int, int], dim: int, num_prefix: int = 0) -> Tensor:
    """(1, num_prefix + rows * columns, dim) float32; zeros for prefix tokens.

    Order of the features: sin and cos of the column, then of the row, as in MAE's
    released weights.

    Source: He et al. 2022 (MAE), after Vaswani et al. 2017 with base 10,000.
    """
    assert dim % 4 == 0
    rows, columns = grid
    frequencies = 10000.0 ** -(torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    row = torch.arange(rows, dtype=torch.float64).repeat_interleave(columns)
    column = torch.arange(columns, dtype=torch.float64).repeat(rows)
    row, column = row[:, None] * frequencies, column[:, None] * frequencies
    table = torch.cat([column.sin(), column.cos(), row.sin(), row.cos()], dim=1)
    return torch.cat([table.new_zeros(num_prefix, dim), table])[None].float()
