"""timm's transformer blocks on packed tokens (see `packed`).

Attention runs inside each sample; everything else runs on the full sequence at once.

Shapes: T tokens in all, H heads, d values of a head, D width.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from timm.layers import Attention, DropPath, GluMlp, Mlp, SwiGLU
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from r2mae.models.packed import Packing, packed_attention
from r2mae.models.recompute import run_block


def packable(blocks: nn.Sequential) -> bool:
    """Whether `packed_block` computes what these blocks compute: timm's plain `Block`.

    All others run padded: parallel or post-norm blocks, differential or gated attention,
    MLPs that mix tokens, and blocks with forward hooks, which would not be called.
    """
    return all(_is_plain(block) for block in blocks)


def _is_plain(block: Any) -> bool:
    # Exact types: a subclass may compute something else.
    if type(block) is not Block or type(block.attn) is not Attention:
        return False
    if getattr(block.attn, "gate", None) is not None:
        return False
    if type(block.mlp) not in (Mlp, GluMlp, SwiGLU):
        return False
    paths = (block.drop_path1, block.drop_path2)
    if any(type(path) not in (nn.Identity, DropPath) for path in paths):
        return False
    attention_hooks = block.attn._forward_hooks
    return not (block._forward_hooks or block._forward_pre_hooks or attention_hooks)


def packed_block(
    block: Any, tokens: Tensor, packing: Packing, *, compiled: bool = False
) -> Tensor:
    """A plain timm block on packed tokens (T, D) -> (T, D).

    Each sample's result equals that of the sample alone.
    compiled: run what precedes and what follows attention as two graphs, shared by all
        lengths. Attention and random draws stay eager.
    """
    finished: Tensor = run_block(_compute, block, tokens, packing, compiled)
    return finished


def _compute(block: Any, tokens: Tensor, packing: Packing, compiled: bool) -> Tensor:
    project, finish = _project, _finish
    if compiled:
        project, finish = _compiled(_project), _compiled(_finish)
    attention = block.attn
    dropout = attention.attn_drop.p if attention.training else 0.0
    attended = packed_attention(
        project(block, tokens), packing, dropout=dropout, fused=attention.fused_attn
    )
    attention_path = _path_weight(block.drop_path1, tokens, packing)
    mlp_path = _path_weight(block.drop_path2, tokens, packing)
    finished: Tensor = finish(block, tokens, attended, attention_path, mlp_path)
    return finished


@cache
def _compiled(part: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return torch.compile(part, dynamic=True)


def _project(block: Any, tokens: Tensor) -> Tensor:
    """Queries, keys and values (T, 3, H, d)."""
    attention = block.attn
    split = (3, attention.num_heads, -1)
    qkv: Tensor = attention.qkv(block.norm1(tokens)).unflatten(1, split)
    norms = (attention.q_norm, attention.k_norm)
    if all(isinstance(norm, nn.Identity) for norm in norms):
        return qkv  # no copy where queries and keys are not normalised
    query, key, value = qkv.unbind(1)
    return torch.stack([attention.q_norm(query), attention.k_norm(key), value], dim=1)


def _finish(
    block: Any,
    tokens: Tensor,
    attended: Tensor,
    attention_path: Tensor | None,
    mlp_path: Tensor | None,
) -> Tensor:
    """After attention: its projection, the MLP, both residual connections."""
    attention = block.attn
    change = block.ls1(attention.proj_drop(attention.proj(attention.norm(attended))))
    tokens = tokens + (change if attention_path is None else change * attention_path)
    change = block.ls2(block.mlp(block.norm2(tokens)))
    finished: Tensor = tokens + (change if mlp_path is None else change * mlp_path)
    return finished


def _path_weight(path: nn.Module, tokens: Tensor, packing: Packing) -> Tensor | None:
    """(T, 1) stochastic depth: one draw per sample, in the order of the batch.

    None where nothing is dropped.
    """
    if not isinstance(path, DropPath) or not path.training or path.drop_prob == 0:
        return None
    keep = 1 - path.drop_prob
    drawn = tokens.new_empty(len(packing.lengths), 1).bernoulli_(keep)
    if keep > 0 and path.scale_by_keep:
        drawn.div_(keep)
    return drawn.index_select(0, packing.rows)
