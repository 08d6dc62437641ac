"""timm's transformer blocks on packed tokens: all but attention runs on the whole sequence at once.

Shapes: T tokens in all, H heads, d values of a head, D width (see `packed`).
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from timm.layers import Attention, DropPath, GluMlp, Mlp, SwiGLU
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from r2mae.models.packed import Packing, packed_attention


def packable(blocks: nn.Sequential) -> bool:
    """Whether these are timm's plain blocks, of which alone `packed_block` knows the order of parts.

    Others (parallel or post-norm, differential or gated attention, MLPs that mix tokens), and blocks that something
    has hooked into, run padded.
    """
    return all(_is_plain(block) for block in blocks)


def _is_plain(block: Any) -> bool:
    return (
        type(block) is Block
        and type(block.attn) is Attention
        and getattr(block.attn, "gate", None) is None
        and type(block.mlp) in (Mlp, GluMlp, SwiGLU)
        and all(
            type(path) in (nn.Identity, DropPath)
            for path in (block.drop_path1, block.drop_path2)
        )
        and not (
            block._forward_hooks
            or block._forward_pre_hooks
            or block.attn._forward_hooks
        )
    )


def packed_block(
    block: Any, tokens: Tensor, packing: Packing, *, compiled: bool = False
) -> Tensor:
    """A plain timm block on packed tokens (T, D) -> (T, D): each sample gets what it gets alone.

    compiled: everything but attention and draws, which are eager, runs as two graphs that all lengths share.
    """
    project, finish = (
        (_compiled(_project), _compiled(_finish)) if compiled else (_project, _finish)
    )
    attention = block.attn
    dropout = attention.attn_drop.p if attention.training else 0.0
    attended = packed_attention(
        project(block, tokens), packing, dropout=dropout, fused=attention.fused_attn
    )
    paths = [
        _path_weight(path, tokens, packing)
        for path in (block.drop_path1, block.drop_path2)
    ]
    finished: Tensor = finish(block, tokens, attended, *paths)
    return finished


@cache
def _compiled(part: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return torch.compile(part, dynamic=True)


def _project(block: Any, tokens: Tensor) -> Tensor:
    """Queries, keys and values (T, 3, H, d)."""
    attention = block.attn
    qkv: Tensor = attention.qkv(block.norm1(tokens)).unflatten(
        1, (3, attention.num_heads, -1)
    )
    if isinstance(attention.q_norm, nn.Identity) and isinstance(
        attention.k_norm, nn.Identity
    ):
        return qkv
    query, key, value = qkv.unbind(1)
    return torch.stack([attention.q_norm(query), attention.k_norm(key), value], dim=1)


def _finish(
    block: Any,
    tokens: Tensor,
    attended: Tensor,
    attention_path: Tensor | None,
    mlp_path: Tensor | None,
) -> Tensor:
    """What comes after attention: its projection, the MLP, both residuals."""
    attention = block.attn
    change = block.ls1(attention.proj_drop(attention.proj(attention.norm(attended))))
    tokens = tokens + (change if attention_path is None else change * attention_path)
    change = block.ls2(block.mlp(block.norm2(tokens)))
    finished: Tensor = tokens + (change if mlp_path is None else change * mlp_path)
    return finished


def _path_weight(path: nn.Module, tokens: Tensor, packing: Packing) -> Tensor | None:
    """(T, 1), one draw a sample as stochastic depth wants it, in the batch's order; None when nothing is dropped."""
    if not isinstance(path, DropPath) or not path.training or path.drop_prob == 0:
        return None
    stay = 1 - path.drop_prob
    drawn = tokens.new_empty(len(packing.lengths), 1).bernoulli_(stay)
    if stay > 0 and path.scale_by_keep:
        drawn.div_(stay)
    return drawn.index_select(0, packing.rows)
