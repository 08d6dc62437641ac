"""Making a timm VisionTransformer of the recipe's shape, and refusing what would leak."""

from typing import Any

import timm
import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import VisionTransformer

from r2mae.errors import InputError, did_you_mean


def create_encoder(
    name: str,
    *,
    image_size: int,
    channels: int,
    patch_size: int | None = None,
    width: int | None = None,
    depth: int | None = None,
    heads: int | None = None,
    **more: Any,
) -> VisionTransformer:
    """A timm ViT without head; None keeps the named architecture's own patch size, width, depth or heads.

    Raises: InputError for names that timm does not know, models that are no plain VisionTransformer, a patch size
        that does not divide the image, or a width that does not fit heads and positions.
    """
    family = timm.list_models("vit_*") + timm.list_models("deit*")
    if not timm.is_model(name):
        raise InputError(f"model.encoder must be a timm model, got {name!r}. {did_you_mean(name, family)}")
    shape = {"patch_size": patch_size, "embed_dim": width, "depth": depth, "num_heads": heads}
    arguments: dict[str, Any] = {key: value for key, value in shape.items() if value is not None} | more
    _check_shape(name, image_size, patch_size, width, heads)
    try:
        encoder = timm.create_model(
            name, img_size=image_size, in_chans=channels, num_classes=0, global_pool="", **arguments
        )
    except (TypeError, ValueError, AssertionError, RuntimeError, AttributeError, ZeroDivisionError) as error:
        with torch.device("meta"):
            _check_plain(name, timm.create_model(name))  # a model of another family is refused as that
        reason = str(error).rstrip(".") or type(error).__name__
        raise InputError(f"model must be a shape that timm can build, got {name!r}: {reason}.") from None
    _check_plain(name, encoder)
    actual = int(encoder.patch_embed.patch_size[0])
    _check_shape(name, image_size, actual, encoder.embed_dim, encoder.blocks[0].attn.num_heads)
    return encoder


def _check_plain(name: str, encoder: Any) -> None:
    if type(encoder) is not VisionTransformer:
        why = f"is a {type(encoder).__name__}"
    elif type(encoder.patch_embed) is not PatchEmbed:
        why = f"embeds patches by {type(encoder.patch_embed).__name__}, which mixes patches"
    elif not all(hasattr(block, "attn") and hasattr(block, "mlp") for block in encoder.blocks):
        why = f"is made of {type(encoder.blocks[0]).__name__}, not of attention and MLP in turn"
    else:
        return
    remedy = "Choose one such as vit_tiny_patch16_224, vit_base_patch16_224 or vit_large_patch16_224."
    raise InputError(
        f"model.encoder must be a plain VisionTransformer with a plain patch embedding, "
        f"got {name!r}, which {why}. {remedy}"
    )


def _check_shape(name: str, image_size: int, patch_size: int | None, width: int | None, heads: int | None) -> None:
    if patch_size is not None and image_size % patch_size:
        remedy = f"Use {max(2, image_size // patch_size) * patch_size}, or another model.patch_size."
        raise InputError(
            f"data.image_size must be divisible by the patch size {patch_size} of {name}, got {image_size}. {remedy}"
        )
    if patch_size is not None and image_size // patch_size < 2:
        raise InputError(f"data.image_size must hold at least 2 x 2 patches of {patch_size} pixels, got {image_size}.")
    if width is not None and (width % 4 or (heads is not None and width % heads)):
        raise InputError(f"model.width must be divisible by 4 and by the number of heads {heads}, got {width}.")
