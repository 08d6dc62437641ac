"""transformers' names of ViTMAE's parameters, to and from ours."""

import re

import torch
from torch import Tensor

# How transformers 4 (and every file on disk) names what transformers 5 names anew.
_OLD_NAMES = (
    (r"^vit\.encoder\.layer\.", "vit.layers."),
    (
        r"^decoder\.(?:decoder_encoder\.layer|decoder_layers)\.",
        "decoder.decoder_layers.",
    ),
    (
        r"\.attention\.attention\.(query|key|value)\.",
        lambda match: f".attention.{match[1][0]}_proj.",
    ),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"(?<!attention)\.output\.dense\.", ".mlp.fc2."),
)
_WHOLE_NAMES = {
    "vit.embeddings.cls_token": "encoder.cls_token",
    "vit.embeddings.position_embeddings": "encoder.pos_embed",
    "vit.embeddings.patch_embeddings.projection": "encoder.patch_embed.proj",
    "vit.layernorm": "encoder.norm",
    "decoder.mask_token": "mask_token",
    "decoder.decoder_pos_embed": "decoder_positions",
    "decoder.decoder_embed": "decoder_embed",
    "decoder.decoder_norm": "decoder_norm",
    "decoder.decoder_pred": "decoder_predict",
}
_BLOCK_NAMES = {
    "attention.o_proj": "attn.proj",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}


def from_vit_mae(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """`ViTMAEForPreTraining.state_dict()` as that of a `MaskedAutoencoder`: names, and q, k, v in one map."""
    for old, new in _OLD_NAMES:
        state = {re.sub(old, new, name): tensor for name, tensor in state.items()}
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        stem, _, kind = name.rpartition(".")
        block = re.fullmatch(r"(vit|decoder)\.(?:decoder_)?layers\.(\d+)\.(.+)", stem)
        if block is None:
            whole = _WHOLE_NAMES.get(name) or f"{_WHOLE_NAMES[stem]}.{kind}"
            result[whole] = tensor
            continue
        side, number, part = block.groups()
        prefix = "encoder.blocks" if side == "vit" else "decoder_blocks"
        if part == "attention.q_proj":
            parts = [
                state[f"{stem.removesuffix('q_proj')}{letter}_proj.{kind}"]
                for letter in "qkv"
            ]
            result[f"{prefix}.{number}.attn.qkv.{kind}"] = torch.cat(parts)
        elif part in _BLOCK_NAMES:
            result[f"{prefix}.{number}.{_BLOCK_NAMES[part]}.{kind}"] = tensor
    return result


def to_vit_mae(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse: a `MaskedAutoencoder`'s state under transformers 5's names; q, k and v without bias get zeros."""
    whole = {ours: theirs for theirs, ours in _WHOLE_NAMES.items()}
    parts = {ours: theirs for theirs, ours in _BLOCK_NAMES.items()}
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        stem, _, kind = name.rpartition(".")
        block = re.fullmatch(r"(encoder\.blocks|decoder_blocks)\.(\d+)\.(.+)", stem)
        if block is None:
            result[whole.get(name) or f"{whole[stem]}.{kind}"] = tensor
            continue
        side, number, part = block.groups()
        prefix = f"{'vit.layers' if side == 'encoder.blocks' else 'decoder.decoder_layers'}.{number}"
        if part != "attn.qkv":
            result[f"{prefix}.{parts[part]}.{kind}"] = tensor
            continue
        for letter, third in zip("qkv", tensor.chunk(3), strict=True):
            result[f"{prefix}.attention.{letter}_proj.{kind}"] = third
            if f"{stem}.bias" not in state:
                result[f"{prefix}.attention.{letter}_proj.bias"] = third.new_zeros(
                    len(third)
                )
    return result
