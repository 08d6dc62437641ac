"""Parameter names of transformers' ViTMAE, from and to those of `MaskedAutoencoder`."""

import re

import torch
from torch import Tensor

# transformers 4, and files on disk, use other names than transformers 5.
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
_OUTER_NAMES = {
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
    """A ViTMAE's state as that of a `MaskedAutoencoder`; q, k and v in one weight."""
    for old, new in _OLD_NAMES:
        state = {re.sub(old, new, name): tensor for name, tensor in state.items()}
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        stem, _, kind = name.rpartition(".")
        block = re.fullmatch(r"(vit|decoder)\.(?:decoder_)?layers\.(\d+)\.(.+)", stem)
        if block is None:
            outer = _OUTER_NAMES.get(name) or f"{_OUTER_NAMES[stem]}.{kind}"
            result[outer] = tensor
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
    """The inverse, with transformers 5's names. Missing biases of q, k, v become 0."""
    outer = {ours: theirs for theirs, ours in _OUTER_NAMES.items()}
    parts = {ours: theirs for theirs, ours in _BLOCK_NAMES.items()}
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        stem, _, kind = name.rpartition(".")
        block = re.fullmatch(r"(encoder\.blocks|decoder_blocks)\.(\d+)\.(.+)", stem)
        if block is None:
            result[outer.get(name) or f"{outer[stem]}.{kind}"] = tensor
            continue
        side, number, part = block.groups()
        is_encoder = side == "encoder.blocks"
        layers = "vit.layers" if is_encoder else "decoder.decoder_layers"
        prefix = f"{layers}.{number}"
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
