"""Replaces masked tokens by [MASK], by a random token, or not at all, as in BERT."""

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
    """The model's input tokens (B, N), a function of seed, position and place.

    Args:
        tokens: (B, N) int64.
        is_masked: (B, N) bool.
        mask_token: id of [MASK].
        others: (V,) ids from which a random token is drawn.
        shares: of masked tokens that become [MASK] and that become a random token; the
            rest are unchanged.
        seed: of the run.
        positions: (B,) int64, of the samples in the stream.

    Source: Devlin et al. 2019. Differs: random tokens are drawn from `others` alone.
    """
    all_masked = tokens.masked_fill(is_masked, mask_token)
    to_mask, to_other = shares
    if to_mask >= 1:
        return all_masked
    place, positions = torch.arange(tokens.shape[1]), positions[:, None]
    draws = uniforms(seed, RandomStream.REPLACE, positions, place)
    # Counters from N on are not used by the draws above. Clearing the upper bits makes
    # the numbers non-negative.
    picks = bits(seed, RandomStream.REPLACE, positions, len(place) + place) >> 1
    picks = picks & ((1 << 62) - 1)
    replaced = torch.where(
        draws < to_mask + to_other, others[picks % len(others)], tokens
    )
    return torch.where(is_masked & (draws >= to_mask), replaced, all_masked)
