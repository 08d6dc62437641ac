"""BERT, RoBERTa and ModernBERT of transformers, run over a flat sequence of segments: their weights, our schedule.

The modules and their names stay transformers' own, so what is trained is saved, loaded and exported as theirs.

Shapes: T tokens in all, M asked positions, D width, H heads, d values of a head.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from r2mae.models.segments import Asked, Layout, segment_attention


class BertRunner:
    """BERT and RoBERTa: norms after each half of a block, positions from a table."""

    def __init__(self, base: Any) -> None:
        self.blocks: Any = base.encoder.layer
        self.embeddings: Any = base.embeddings
        # RoBERTa counts positions from the padding token's number on.
        self.offset = (
            base.config.pad_token_id + 1 if base.config.model_type == "roberta" else 0
        )

    def embed(self, ids: Tensor, places: Tensor, types: Tensor | None) -> Tensor:
        """(T, D) of token ids, places in their segments and kinds of segment (T,)."""
        known = (
            self.embeddings.token_type_embeddings.num_embeddings
        )  # released RoBERTas tell no second text
        types = torch.zeros_like(ids) if types is None else types.clamp(max=known - 1)
        embedded: Tensor = self.embeddings(
            input_ids=ids[None],
            position_ids=places[None] + self.offset,
            token_type_ids=types[None],
        )[0]
        return embedded

    def block(
        self,
        number: int,
        hidden: Tensor,
        layout: Layout,
        asked: Asked | None,
        compiled: bool,
    ) -> Tensor:
        """(T, D) -> (T, D), or (M, D) at the asked positions."""
        block = self.blocks[number]
        own, dropout = block.attention.self, block.attention.self.dropout
        project, finish = (
            _parts(_project_bert, compiled),
            _parts(_finish_bert, compiled),
        )
        here = hidden if asked is None else hidden[asked.tokens]
        query, key, value = project(block, hidden, here)
        rate = dropout.p if own.training else 0.0
        attended = segment_attention(query, key, value, layout, asked, dropout=rate)
        finished: Tensor = finish(block, here, attended)
        return finished

    def finish(self, hidden: Tensor) -> Tensor:
        """What comes after the last block: nothing."""
        return hidden


class ModernBertRunner:
    """ModernBERT: norms before each half of a block, rotary positions, windows in most blocks."""

    def __init__(self, base: Any) -> None:
        self.base = base
        self.blocks: Any = base.layers
        self.places: Tensor | None = None
        self.rotations: dict[str, tuple[Tensor, Tensor]] = {}

    def embed(self, ids: Tensor, places: Tensor, types: Tensor | None) -> Tensor:  # noqa: ARG002 - it has no types
        """(T, D) of token ids; places (T,) turn queries and keys later."""
        hidden: Tensor = self.base.embeddings(ids)
        kinds = set(self.base.config.layer_types)
        longest = torch.arange(
            self.base.config.max_position_embeddings, device=ids.device
        )
        table = hidden.new_empty(
            (), dtype=torch.float64 if hidden.dtype == torch.float64 else torch.float32
        )
        self.rotations = {}
        for kind in kinds:
            turned = self.base.rotary_emb(table, longest[None], kind)
            cosine, sine = (part[0].index_select(0, places)[:, None] for part in turned)
            self.rotations[kind] = (cosine, sine)
        return hidden

    def block(
        self,
        number: int,
        hidden: Tensor,
        layout: Layout,
        asked: Asked | None,
        compiled: bool,
    ) -> Tensor:
        """(T, D) -> (T, D), or (M, D) at the asked positions."""
        block = self.blocks[number]
        own, config = block.attn, self.base.config
        project, finish = (
            _parts(_project_modern, compiled),
            _parts(_finish_modern, compiled),
        )
        here = None if asked is None else asked.tokens
        query, key, value = project(
            block, hidden, here, *self.rotations[block.attention_type]
        )
        window = (
            config.sliding_window
            if block.attention_type == "sliding_attention"
            else None
        )
        rate = own.attention_dropout if own.training else 0.0
        attended = segment_attention(
            query, key, value, layout, asked, dropout=rate, window=window
        )
        finished: Tensor = finish(
            block, hidden if here is None else hidden[here], attended
        )
        return finished

    def finish(self, hidden: Tensor) -> Tensor:
        """What comes after the last block: its norm."""
        self.rotations = {}
        finished: Tensor = self.base.final_norm(hidden)
        return finished


RUNNERS: dict[str, Callable[[Any], Any]] = {
    "bert": BertRunner,
    "roberta": BertRunner,
    "modernbert": ModernBertRunner,
}


@cache
def _compiled(part: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(part, dynamic=True)


def _parts(part: Callable[..., Any], compiled: bool) -> Callable[..., Any]:
    return _compiled(part) if compiled else part


def _project_bert(
    block: Any, hidden: Tensor, here: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    own = block.attention.self
    split = (own.num_attention_heads, own.attention_head_size)
    return (
        own.query(here).unflatten(1, split),
        own.key(hidden).unflatten(1, split),
        own.value(hidden).unflatten(1, split),
    )


def _finish_bert(block: Any, hidden: Tensor, attended: Tensor) -> Tensor:
    middle = block.attention.output(attended, hidden)
    finished: Tensor = block.output(block.intermediate(middle), middle)
    return finished


def _project_modern(
    block: Any, hidden: Tensor, here: Tensor | None, cosine: Tensor, sine: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    own, normed = block.attn, block.attn_norm(hidden)
    if here is None:
        query, key, value = (
            own.Wqkv(normed).unflatten(1, (3, -1, own.head_dim)).unbind(1)
        )
        return _turn(query, cosine, sine), _turn(key, cosine, sine), value
    weight, bias, width = own.Wqkv.weight, own.Wqkv.bias, hidden.shape[1]
    biases = (None, None) if bias is None else (bias[:width], bias[width:])
    asking = nn.functional.linear(normed[here], weight[:width], biases[0])
    query = asking.unflatten(1, (-1, own.head_dim))
    both = nn.functional.linear(normed, weight[width:], biases[1])
    key, value = both.unflatten(1, (2, -1, own.head_dim)).unbind(1)
    return _turn(query, cosine[here], sine[here]), _turn(key, cosine, sine), value


def _turn(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions: heads (T, H, d), cosine and sine (T, 1, d)."""
    first, second = heads.chunk(2, dim=-1)
    turned = heads * cosine + torch.cat([-second, first], dim=-1) * sine
    return turned.to(heads.dtype)


def _finish_modern(block: Any, hidden: Tensor, attended: Tensor) -> Tensor:
    hidden = hidden + block.attn.out_drop(block.attn.Wo(attended))
    finished: Tensor = hidden + block.mlp(block.mlp_norm(hidden))
    return finished
