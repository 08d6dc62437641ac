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
    quarter = dim // 4
    exponents = torch.arange(quarter, dtype=torch.float64) / quarter
    frequencies = 10000.0**-exponents
    row = torch.arange(rows, dtype=torch.float64).repeat_interleave(columns)
    column = torch.arange(columns, dtype=torch.float64).repeat(rows)
    row_angle = row[:, None] * frequencies
    column_angle = column[:, None] * frequencies
    features = [
        column_angle.sin(),
        column_angle.cos(),
        row_angle.sin(),
        row_angle.cos(),
    ]
    table = torch.cat(features, dim=1)
    prefix = table.new_zeros(num_prefix, dim)
    return torch.cat([prefix, table])[None].float()
