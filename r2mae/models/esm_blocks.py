"""ESM of transformers, computed on a flat sequence of segments: as `text_blocks` does.

The architecture of ESM-2 and of Nucleotide Transformer (version 1).

Shapes: T tokens in all, M queries, D width, H heads, d values of a head.
"""

from typing import Any

import torch
from torch import Tensor

from r2mae.models.padded import PaddedRows
from r2mae.models.recompute import run_block
from r2mae.models.segments import Layout, Queries, segment_attention
from r2mae.models.text_blocks import maybe_compiled, rotate

_TRAINED_MASKED = 0.15 * 0.8  # share of [MASK] that ESM's token dropout assumes
Rotation = tuple[Tensor, Tensor]  # cosine, sine (T, 1, d)


class EsmRunner:
    """ESM: pre-norm blocks, learned or rotary positions, optional token dropout."""

    def __init__(self, base: Any) -> None:
        self.base = base
        self.blocks: Any = base.encoder.layer
        # Of the current batch; None with learned positions.
        self.rotation: Rotation | None = None

    def embed(self, ids: Tensor, positions: Tensor, types: Tensor | None) -> Tensor:
        """(T, D) of token ids and positions in their segments (T,); there are no token types."""
        embeddings = self.base.embeddings
        hidden: Tensor = embeddings.word_embeddings(ids)
        if embeddings.token_dropout:
            hidden = _scale_visible(
                hidden,
                ids == embeddings.mask_token_id,
                ids != embeddings.padding_idx,
                positions,
            )
        if self.base.rotary_embeddings is None:
            numbers = positions + embeddings.padding_idx + 1
            hidden = hidden + embeddings.position_embeddings(numbers)
        else:
            cosine, sine = self.base.rotary_embeddings(hidden, positions[None])
            self.rotation = cosine[0][:, None], sine[0][:, None]
        if embeddings.layer_norm is not None:
            hidden = embeddings.layer_norm(hidden)
        return hidden

    def block(
        self,
        number: int,
        hidden: Tensor,
        layout: Layout | PaddedRows,
        queries: Queries | None,
        compiled: bool,
    ) -> Tensor:
        """(T, D) -> (T, D), or (M, D) at the queries."""
        block = self.blocks[number]
        finished: Tensor = run_block(
            _compute, block, hidden, layout, queries, self.rotation, compiled
        )
        return finished

    def finish(self, hidden: Tensor) -> Tensor:
        """The final norm."""
        self.rotation = None  # frees the batch's tables
        finished: Tensor = self.base.encoder.emb_layer_norm_after(hidden)
        return finished


def _scale_visible(
    hidden: Tensor, is_mask: Tensor, is_token: Tensor, positions: Tensor
) -> Tensor:
    """ESM's token dropout: [MASK] is 0, and other tokens (T, D) make up for the share of it.

    is_mask, is_token, positions: (T,); is_token is False for padding.
    """
    segment = (positions == 0).cumsum(0) - 1
    # One entry a token, of which there are as many as segments at most: no shape
    # depends on the data.
    zeros = torch.zeros_like(positions, dtype=torch.float32)
    tokens = zeros.index_add(0, segment, is_token.float())
    masked = zeros.index_add(0, segment, is_mask.float())
    share = ((tokens - masked) / tokens.clamp(min=1))[segment]
    # Of a segment of [MASK] alone, which packing may cut off, all embeddings are 0.
    scale = (1 - _TRAINED_MASKED) / share.masked_fill(is_mask, 1)
    return hidden.masked_fill(is_mask[:, None], 0) * scale[:, None].to(hidden.dtype)


def _compute(
    block: Any,
    hidden: Tensor,
    layout: Layout | PaddedRows,
    queries: Queries | None,
    rotation: Rotation | None,
    compiled: bool,
) -> Tensor:
    project = maybe_compiled(_project, compiled)
    finish = maybe_compiled(_finish, compiled)
    attention = block.attention.self
    dropout = attention.dropout if attention.training else 0.0
    indices = None if queries is None else queries.tokens
    query, key, value = project(block, hidden, indices, rotation)
    attended = segment_attention(query, key, value, layout, queries, dropout=dropout)
    residual = hidden if indices is None else hidden[indices]
    finished: Tensor = finish(block, residual, attended)
    return finished


def _project(
    block: Any, hidden: Tensor, indices: Tensor | None, rotation: Rotation | None
) -> tuple[Tensor, Tensor, Tensor]:
    """(query, key, value); the query at indices (M,) alone where given."""
    attention, normed = block.attention.self, block.attention.LayerNorm(hidden)
    split = (attention.num_attention_heads, attention.attention_head_size)
    asking = normed if indices is None else normed[indices]
    query = attention.query(asking).unflatten(1, split)
    key = attention.key(normed).unflatten(1, split)
    value = attention.value(normed).unflatten(1, split)
    if rotation is None:
        return query, key, value
    cosine, sine = rotation
    key = rotate(key, cosine, sine)
    if indices is not None:
        cosine, sine = cosine[indices], sine[indices]
    return rotate(query, cosine, sine), key, value


def _finish(block: Any, residual: Tensor, attended: Tensor) -> Tensor:
    hidden = block.attention.output(attended, residual)
    finished: Tensor = block.feed_forward_chunk(hidden)
    return finished
