"""BERT, RoBERTa and ModernBERT of transformers, computed on a flat sequence of segments.

The modules and parameter names stay those of transformers, so a trained model is saved,
loaded and exported without conversion. Only the order of computation is ours.

Shapes: T tokens in all, M queries, D width, H heads, d values of a head.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from r2mae.models.padded import PaddedRows
from r2mae.models.recompute import run_block
from r2mae.models.segments import Layout, Queries, segment_attention


class BertRunner:
    """BERT and RoBERTa: post-norm blocks, learned position embeddings."""

    def __init__(self, base: Any) -> None:
        self.blocks: Any = base.encoder.layer
        self.embeddings: Any = base.embeddings
        # RoBERTa's first position id is the padding token's id plus one.
        is_roberta = base.config.model_type == "roberta"
        self.offset = base.config.pad_token_id + 1 if is_roberta else 0

    def embed(self, ids: Tensor, positions: Tensor, types: Tensor | None) -> Tensor:
        """(T, D) of token ids, positions in their segments and token types (T,)."""
        # Released RoBERTas have a single token type: a second text gets it too.
        last_type = self.embeddings.token_type_embeddings.num_embeddings - 1
        types = torch.zeros_like(ids) if types is None else types.clamp(max=last_type)
        embedded: Tensor = self.embeddings(
            input_ids=ids[None],
            position_ids=positions[None] + self.offset,
            token_type_ids=types[None],
        )[0]
        return embedded

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
            self._compute, block, hidden, layout, queries, compiled
        )
        return finished

    @staticmethod
    def _compute(
        block: Any,
        hidden: Tensor,
        layout: Layout | PaddedRows,
        queries: Queries | None,
        compiled: bool,
    ) -> Tensor:
        project = maybe_compiled(_project_bert, compiled)
        finish = maybe_compiled(_finish_bert, compiled)
        attention = block.attention.self
        dropout = attention.dropout.p if attention.training else 0.0
        residual = hidden if queries is None else hidden[queries.tokens]
        query, key, value = project(block, hidden, residual)
        attended = segment_attention(
            query, key, value, layout, queries, dropout=dropout
        )
        finished: Tensor = finish(block, residual, attended)
        return finished

    def finish(self, hidden: Tensor) -> Tensor:
        """Unchanged: nothing follows the last block."""
        return hidden


class ModernBertRunner:
    """ModernBERT: pre-norm blocks, rotary positions, sliding windows in most blocks."""

    def __init__(self, base: Any) -> None:
        self.base = base
        self.blocks: Any = base.layers
        # Layer type -> (cosine, sine) (T, 1, d) of the current batch.
        self.rotations: dict[str, tuple[Tensor, Tensor]] = {}

    def embed(self, ids: Tensor, positions: Tensor, types: Tensor | None) -> Tensor:
        """(T, D) of token ids; positions (T,) rotate queries and keys in each block."""
        hidden: Tensor = self.base.embeddings(ids)
        config = self.base.config
        table = torch.arange(config.max_position_embeddings, device=ids.device)
        # Angles lose too many digits in half precision.
        is_double = hidden.dtype == torch.float64
        dtype = torch.float64 if is_double else torch.float32
        like = hidden.new_empty((), dtype=dtype)
        self.rotations = {}
        for layer_type in set(config.layer_types):
            cosine, sine = self.base.rotary_emb(like, table[None], layer_type)
            self.rotations[layer_type] = (
                cosine[0].index_select(0, positions)[:, None],
                sine[0].index_select(0, positions)[:, None],
            )
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
        rotation = self.rotations[block.attention_type]
        finished: Tensor = run_block(
            self._compute, block, hidden, layout, queries, rotation, compiled
        )
        return finished

    def _compute(
        self,
        block: Any,
        hidden: Tensor,
        layout: Layout | PaddedRows,
        queries: Queries | None,
        rotation: tuple[Tensor, Tensor],
        compiled: bool,
    ) -> Tensor:
        project = maybe_compiled(_project_modern, compiled)
        finish = maybe_compiled(_finish_modern, compiled)
        attention = block.attn
        dropout = attention.attention_dropout if attention.training else 0.0
        is_local = block.attention_type == "sliding_attention"
        window = self.base.config.sliding_window if is_local else None
        indices = None if queries is None else queries.tokens
        query, key, value = project(block, hidden, indices, *rotation)
        attended = segment_attention(
            query, key, value, layout, queries, dropout=dropout, window=window
        )
        residual = hidden if indices is None else hidden[indices]
        finished: Tensor = finish(block, residual, attended)
        return finished

    def finish(self, hidden: Tensor) -> Tensor:
        """The final norm."""
        self.rotations = {}  # frees the batch's tables
        finished: Tensor = self.base.final_norm(hidden)
        return finished


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, dynamic=True)


def maybe_compiled(function: Callable[..., Any], compiled: bool) -> Callable[..., Any]:
    """The function, or one compiled for every length."""
    return _compiled(function) if compiled else function


def _project_bert(
    block: Any, hidden: Tensor, residual: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """(query, key, value); the query from residual, (M, D) where there are queries."""
    attention = block.attention.self
    split = (attention.num_attention_heads, attention.attention_head_size)
    return (
        attention.query(residual).unflatten(1, split),
        attention.key(hidden).unflatten(1, split),
        attention.value(hidden).unflatten(1, split),
    )


def _finish_bert(block: Any, residual: Tensor, attended: Tensor) -> Tensor:
    middle = block.attention.output(attended, residual)
    finished: Tensor = block.output(block.intermediate(middle), middle)
    return finished


def _project_modern(
    block: Any, hidden: Tensor, indices: Tensor | None, cosine: Tensor, sine: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """(query, key, value), rotated; the query at indices (M,) alone where given."""
    attention, normed = block.attn, block.attn_norm(hidden)
    if indices is None:
        qkv = attention.Wqkv(normed).unflatten(1, (3, -1, attention.head_dim))
        query, key, value = qkv.unbind(1)
        return rotate(query, cosine, sine), rotate(key, cosine, sine), value
    # One weight holds all three projections: its first rows are the query's.
    width = hidden.shape[1]
    weight, bias = attention.Wqkv.weight, attention.Wqkv.bias
    biases = (None, None) if bias is None else (bias[:width], bias[width:])
    query = nn.functional.linear(normed[indices], weight[:width], biases[0])
    query = query.unflatten(1, (-1, attention.head_dim))
    key_value = nn.functional.linear(normed, weight[width:], biases[1])
    key, value = key_value.unflatten(1, (2, -1, attention.head_dim)).unbind(1)
    query = rotate(query, cosine[indices], sine[indices])
    return query, rotate(key, cosine, sine), value


def rotate(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary position embedding of heads (T, H, d); cosine and sine (T, 1, d)."""
    first, second = heads.chunk(2, dim=-1)
    rotated = heads * cosine + torch.cat([-second, first], dim=-1) * sine
    return rotated.to(heads.dtype)


def _finish_modern(block: Any, residual: Tensor, attended: Tensor) -> Tensor:
    hidden = residual + block.attn.out_drop(block.attn.Wo(attended))
    finished: Tensor = hidden + block.mlp(block.mlp_norm(hidden))
    return finished
