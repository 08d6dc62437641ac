"""Making a timm model of the recipe's shape; plain VisionTransformers are told from the rest."""

import inspect
import re
from collections.abc import Mapping
from types import FunctionType
from typing import Any

import timm
import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import VisionTransformer

from r2mae.errors import InputError, did_you_mean
from r2mae.schema.section import shown

# What other keys of a recipe say, what the engine sets itself, and what it would not honour.
_RESERVED = {
    "img_size": "data.image_size",
    "in_chans": "data.channels",
    **dict.fromkeys(
        ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path"),
        "model.init_from",
    ),
    **dict.fromkeys(
        (
            "num_classes",
            "global_pool",
            "features_only",
            "out_indices",
            "cache_dir",
            "device",
            "dtype",
        ),
        "",
    ),
    **dict.fromkeys(
        ("scriptable", "exportable", "no_jit", "patch_drop_rate", "dynamic_img_size"),
        "",
    ),
}
_OF_VITS = {
    "patch_size": "model.patch_size",
    "embed_dim": "model.width",
    "depth": "model.depth",
    "num_heads": "model.heads",
    **dict.fromkeys(("fc_norm", "dynamic_img_pad"), ""),
}


def create_encoder(
    name: str,
    *,
    image_size: int,
    channels: int,
    patch_size: int | None = None,
    width: int | None = None,
    depth: int | None = None,
    heads: int | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Any:
    """A timm model without classifier; None keeps the named architecture's own patch size, width, depth or heads.

    patch_size: of a plain VisionTransformer's own embedding; others are built without regard to it.
    width, depth, heads: of a plain VisionTransformer only. arguments: go to timm as they are.

    Raises: InputError for names or arguments that timm does not know, shapes that it cannot build, a patch size that
        does not divide the image, or a width that does not fit heads and positions.
    """
    if not timm.is_model(name):
        known = timm.list_models()
        raise InputError(
            f"model.encoder must be a timm model, got {name!r}. {did_you_mean(name, known)}"
        )
    with torch.device("meta"):
        outline = timm.create_model(name)
    given = dict(arguments or {})
    if is_plain_vit(outline):
        _check_arguments(given, _RESERVED | _OF_VITS)
        return _create_vit(
            outline, name, image_size, channels, patch_size, width, depth, heads, given
        )
    _check_arguments(given, _RESERVED)
    for key, value in {"width": width, "depth": depth, "heads": heads}.items():
        if value is not None:
            raise InputError(
                f"model.{key} must not be given with {name}, which is no plain VisionTransformer, got {value}. "
                f"Say it in model.arguments, by timm's name in {type(outline).__name__}."
            )
    shape = {"img_size": image_size} if "img_size" in _parameters(outline) else {}
    return _build(
        outline, name, {"in_chans": channels, "num_classes": 0, **shape}, given
    )


def is_plain_vit(encoder: Any) -> bool:
    """True for VisionTransformers that embed patches one by one and are made of attention and MLP in turn."""
    return (
        type(encoder) is VisionTransformer
        and type(encoder.patch_embed) is PatchEmbed
        and all(
            hasattr(block, "attn") and hasattr(block, "mlp") for block in encoder.blocks
        )
    )


def _create_vit(
    outline: VisionTransformer,
    name: str,
    image_size: int,
    channels: int,
    patch_size: int | None,
    width: int | None,
    depth: int | None,
    heads: int | None,
    arguments: dict[str, Any],
) -> VisionTransformer:
    shape = {
        "patch_size": patch_size,
        "embed_dim": width,
        "depth": depth,
        "num_heads": heads,
    }
    own: dict[str, Any] = {
        key: value for key, value in shape.items() if value is not None
    }
    _check_shape(name, image_size, patch_size, width, heads)
    own |= {
        "img_size": image_size,
        "in_chans": channels,
        "num_classes": 0,
        "global_pool": "",
    }
    encoder: VisionTransformer = _build(outline, name, own, arguments)
    if not is_plain_vit(encoder):
        raise InputError(
            f"model.arguments must leave {name} a plain VisionTransformer, got {shown(arguments)}."
        )
    actual = int(encoder.patch_embed.patch_size[0])
    _check_shape(
        name, image_size, actual, encoder.embed_dim, encoder.blocks[0].attn.num_heads
    )
    return encoder


def _build(
    outline: Any, name: str, own: dict[str, Any], arguments: dict[str, Any]
) -> Any:
    """timm's model with our arguments and the user's; what timm raises becomes one line."""
    try:
        try:
            return timm.create_model(name, **own, **arguments)
        except TypeError as error:
            if "multiple values" not in str(error):
                raise
            return _build_overriding(name, own | arguments)
    except (
        Exception
    ) as error:  # whatever a foreign architecture raises, its user gets one line
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(
            "."
        )
    unknown = re.search(r"unexpected keyword argument '(\w+)'", reason)
    if unknown is not None and unknown[1] in arguments:
        remedy = did_you_mean(
            unknown[1], [key for key in _parameters(outline) if key not in _RESERVED]
        )
        raise InputError(
            f"model.arguments must be arguments of timm's {type(outline).__name__}, got {unknown[1]!r}. {remedy}"
        )
    with_arguments = f" with model.arguments {shown(arguments)}" if arguments else ""
    raise InputError(
        f"model must be a shape that timm can build, got {name!r}{with_arguments}: {reason}."
    )


def _build_overriding(name: str, arguments: dict[str, Any]) -> Any:
    """The named model where its entry point fixes an argument and takes it from nobody (MLP-Mixer's blocks, say).

    timm's entry points fill in a shape and call their family's _create_ function: that is called with ours instead.
    """
    entry = timm.model_entrypoint(name)

    def overriding(create: Any) -> Any:
        return lambda *positional, **named: create(*positional, **(named | arguments))

    creators = {
        key: overriding(make)
        for key, make in entry.__globals__.items()
        if key.startswith("_create_")
    }
    return FunctionType(
        entry.__code__, entry.__globals__ | creators, name, entry.__defaults__
    )()


def takes(name: str, argument: str) -> bool:
    """Whether timm's class for an architecture has an argument; False for names that timm does not know."""
    if not timm.is_model(name):
        return False
    with torch.device("meta"):
        return argument in _parameters(timm.create_model(name))


def _parameters(outline: Any) -> list[str]:
    return list(inspect.signature(type(outline).__init__).parameters)[1:]


def _check_arguments(arguments: dict[str, Any], reserved: dict[str, str]) -> None:
    for key in arguments:
        if key in reserved:
            remedy = f"Use {reserved[key]}." if reserved[key] else "Leave it out."
            raise InputError(
                f"model.arguments must hold what no other key says, got {key!r}. {remedy}"
            )


def _check_shape(
    name: str,
    image_size: int,
    patch_size: int | None,
    width: int | None,
    heads: int | None,
) -> None:
    if patch_size is not None and image_size % patch_size:
        remedy = f"Use {max(2, image_size // patch_size) * patch_size}, or another model.patch_size."
        raise InputError(
            f"data.image_size must be divisible by the patch size {patch_size} of {name}, got {image_size}. {remedy}"
        )
    if patch_size is not None and image_size // patch_size < 2:
        raise InputError(
            f"data.image_size must hold at least 2 x 2 patches of {patch_size} pixels, got {image_size}."
        )
    if width is not None and (width % 4 or (heads is not None and width % heads)):
        raise InputError(
            f"model.width must be divisible by 4 and by the number of heads {heads}, got {width}."
        )
