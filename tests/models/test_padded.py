"""Attention over padded rows equals that over packed segments."""

import numpy as np
import pytest
import torch

from r2mae.models.padded import PaddedRows
from r2mae.models.segments import lay_out, segment_attention


@pytest.mark.parametrize("window", [None, 2])
def test_padded_rows_give_what_packed_segments_give(window):
    lengths = np.array([9, 3, 7])
    is_token = torch.arange(9) < torch.from_numpy(lengths)[:, None]
    heads = torch.randn(3, 27, 2, 4, generator=torch.Generator().manual_seed(0))
    heads[:, ~is_token.flatten()] = 1e4  # padding must reach no token
    padded = segment_attention(*heads, PaddedRows(is_token), window=window)
    layout = lay_out(np.arange(3) * 9, lengths, torch.device("cpu"))
    packed = segment_attention(*heads[:, layout.slots], layout, window=window)
    torch.testing.assert_close(padded[layout.slots], packed)
    assert padded.isfinite().all()
