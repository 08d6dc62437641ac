"""Export a masked autoencoder to transformers: ViTMAEForPreTraining and ViTModel."""

import json
from pathlib import Path
from typing import Any

import torch
from timm.layers import Mlp
from torch import nn

from r2mae.errors import InputError
from r2mae.interop.quiet import quiet_transformers
from r2mae.modalities.vision.interop.same_features import largest_difference, noise
from r2mae.modalities.vision.interop.vit_mae import to_vit_mae
from r2mae.modalities.vision.models.autoencoder import MaskedAutoencoder, num_heads
from r2mae.modalities.vision.models.image_encoder import ImageEncoder


def export_transformers(
    model: ImageEncoder,
    folder: Path,
    *,
    architecture: str,
    image_size: int,
    mean_ratio: float,
) -> float:
    """Write weights, config and image processor, and load the encoder back.

    Returns: the largest difference of features on random pixels.

    mean_ratio: the mean mask ratio; ViTMAE has a single one.

    Raises: InputError naming what ViTMAE does not support.
    """
    missing = inexpressible(model)
    if missing or not isinstance(model, MaskedAutoencoder):
        raise InputError(
            "--to transformers must have a model that ViTMAE can express, "
            f"got {architecture} with {missing}. Use --to timm."
        )
    from transformers import ViTMAEConfig, ViTMAEForPreTraining, ViTModel

    with quiet_transformers():
        theirs = ViTMAEForPreTraining(
            ViTMAEConfig(**vit_mae_config(model, image_size, mean_ratio))
        )
        theirs.load_state_dict(to_vit_mae(model.state_dict()))
        theirs.save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(
            json.dumps(processor_config(model, image_size), indent=2)
        )
        encoder = ViTModel.from_pretrained(folder, add_pooling_layer=False).eval()
    with torch.no_grad():
        batch = noise(model, image_size)
        features = encoder(model.pixels(batch)).last_hidden_state[:, 1:].mean(dim=1)
        return largest_difference(
            features, model.embed(batch), f"{architecture} loaded by transformers"
        )


def inexpressible(model: ImageEncoder) -> str | None:
    """The first property of a model that ViTMAE does not support, or None."""
    if not isinstance(model, MaskedAutoencoder):
        return f"a {type(model.encoder).__name__}"
    encoder = model.encoder
    reasons = {
        "no class token": encoder.cls_token is None,
        "register tokens": encoder.reg_token is not None,
        "no position table": encoder.pos_embed is None,
        "a class token without position": encoder.no_embed_class,
        "a norm in its patch embedding": not isinstance(
            encoder.patch_embed.norm, nn.Identity
        ),
        "a patch embedding without bias": encoder.patch_embed.proj.bias is None,
        "a norm before its blocks (pre_norm)": not isinstance(
            encoder.norm_pre, nn.Identity
        ),
        "no layer norm at its end": not isinstance(encoder.norm, nn.LayerNorm),
    }
    for reason, holds in reasons.items():
        if holds:
            return reason
    # ViTMAE has one eps for all norms, the decoder's among them.
    epsilon = model.decoder_norm.eps
    blocks = (_inexpressible_block(block, epsilon) for block in encoder.blocks)
    return next((reason for reason in blocks if reason), None)


def _inexpressible_block(block: Any, epsilon: float) -> str | None:
    attention, mlp = block.attn, block.mlp
    scales = [getattr(block, name, nn.Identity()) for name in ("ls1", "ls2")]
    attention_norms = [
        getattr(attention, name, nn.Identity()) for name in ("q_norm", "k_norm", "norm")
    ]
    plain_gelu = (
        isinstance(getattr(mlp, "act", None), nn.GELU) and mlp.act.approximate == "none"
    )
    norms = (block.norm1, block.norm2)
    reasons = {
        f"MLPs of type {type(mlp).__name__}": type(mlp) is not Mlp,
        "MLPs with a norm": not isinstance(
            getattr(mlp, "norm", nn.Identity()), nn.Identity
        ),
        f"activation {type(getattr(mlp, 'act', mlp)).__name__}": not plain_gelu,
        "layer scale": not all(isinstance(scale, nn.Identity) for scale in scales),
        "norms inside attention (qk_norm)": not all(
            isinstance(norm, nn.Identity) for norm in attention_norms
        ),
        f"attention of type {type(attention).__name__}": not hasattr(attention, "qkv"),
        f"norms other than layer norms of eps {epsilon:g}": not all(
            isinstance(norm, nn.LayerNorm) and norm.eps == epsilon for norm in norms
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def vit_mae_config(
    model: MaskedAutoencoder, image_size: int, mean_ratio: float
) -> dict[str, Any]:
    """Arguments of `ViTMAEConfig`."""
    encoder, decoder = model.encoder, list(model.decoder_blocks)
    width = model.decoder_embed.out_features
    # Without decoder blocks any value is right; 4 * width is what they would have.
    first: Any = decoder[0] if decoder else None
    mlp_width = 4 * width if first is None else first.mlp.fc1.out_features
    return {
        "image_size": image_size,
        "patch_size": model.patch_size,
        "num_channels": encoder.in_chans,
        "hidden_size": encoder.embed_dim,
        "num_hidden_layers": len(encoder.blocks),
        "num_attention_heads": num_heads(encoder.blocks[0]),
        "intermediate_size": encoder.blocks[0].mlp.fc1.out_features,
        "layer_norm_eps": encoder.norm.eps,
        "decoder_hidden_size": width,
        "decoder_num_hidden_layers": len(decoder),
        "decoder_num_attention_heads": num_heads(decoder[0]) if decoder else 1,
        "decoder_intermediate_size": mlp_width,
        "norm_pix_loss": model.normalize_targets,
        "mask_ratio": round(mean_ratio, 6),
    }


def processor_config(model: ImageEncoder, image_size: int) -> dict[str, Any]:
    """Image processor: shorter side to size, then the central square.

    The run itself crops first; square images come out the same.
    """
    return {
        "image_processor_type": "BitImageProcessor",
        "do_convert_rgb": model.pixel_mean.numel() == 3,
        "do_resize": True,
        "size": {"shortest_edge": image_size},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": image_size, "width": image_size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": model.pixel_mean.flatten().tolist(),
        "image_std": model.pixel_std.flatten().tolist(),
    }
