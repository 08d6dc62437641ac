"""What stands in hidden places: [MASK], another token, or the token itself."""

import torch
from torch import Tensor

from r2mae.masking.rng import RandomStream, bits, uniforms


def replace_hidden(
    tokens: Tensor,
    is_masked: Tensor,
    mask_token: int,
    others: Tensor,
    shares: tuple[float, float],
    seed: int,
    positions: Tensor,
) -> Tensor:
    """(B, N) tokens as a model is shown them, a function of (seed, position, place) where tokens (B, N) are hidden.

    others: (V,) tokens that may stand for another. shares: of hidden tokens that become mask_token, and another;
    the rest stay as they are. positions: (B,) of the samples in the stream.

    Source: Devlin et al. 2019. Differs: other tokens are drawn from `others` alone.
    """
    seen = tokens.masked_fill(is_masked, mask_token)
    to_mask, to_other = shares
    if to_mask >= 1:
        return seen
    place, positions = torch.arange(tokens.shape[1]), positions[:, None]
    draws = uniforms(seed, RandomStream.REPLACE, positions, place)
    picks = (bits(seed, RandomStream.REPLACE, positions, len(place) + place) >> 1) & (
        (1 << 62) - 1
    )
    replaced = torch.where(
        draws < to_mask + to_other, others[picks % len(others)], tokens
    )
    return torch.where(is_masked & (draws >= to_mask), replaced, seen)
