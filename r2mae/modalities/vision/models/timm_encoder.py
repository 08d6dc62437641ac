"""Builds a timm model of the recipe's shape; knows plain ViTs from other backbones."""

import inspect
import re
from collections.abc import Mapping
from types import FunctionType
from typing import Any

import timm
import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import VisionTransformer

from r2mae.errors import InputError, did_you_mean, first_line
from r2mae.modalities.vision.schema import height_width
from r2mae.schema.section import shown

# Arguments that model.arguments may not hold -> the key to use instead, if there is one.
# The others are set by the engine, or would be without effect.
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
    image_size: int | tuple[int, int],
    channels: int,
    patch_size: int | None = None,
    width: int | None = None,
    depth: int | None = None,
    heads: int | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Any:
    """A timm model without classifier. None keeps the named architecture's value.

    patch_size: of a plain VisionTransformer's patch embedding; ignored by others.
    width, depth, heads: of a plain VisionTransformer only.
    arguments: passed on to timm.

    Raises: InputError for names or arguments that timm does not have, shapes that it
        cannot build, a patch size that does not divide the image, or a width that does
        not fit heads and positions.
    """
    outline = _outline(name)
    arguments = dict(arguments or {})
    vit_shape = {"width": width, "depth": depth, "heads": heads}
    if is_plain_vit(outline):
        _check_arguments(arguments, _RESERVED | _OF_VITS)
        return _create_vit(
            outline, name, image_size, channels, patch_size, arguments, **vit_shape
        )
    _check_arguments(arguments, _RESERVED)
    _check_no_vit_shape(outline, name, vit_shape)
    own: dict[str, Any] = {"in_chans": channels, "num_classes": 0}
    if "img_size" in _parameters(outline):
        own["img_size"] = image_size
    return _build(outline, name, own, arguments)


def _outline(name: str) -> Any:
    """timm's model without memory, to read its class and its arguments from."""
    if not timm.is_model(name):
        suggestion = did_you_mean(name, timm.list_models())
        raise InputError(
            f"model.encoder must be a timm model, got {name!r}. {suggestion}"
        )
    with torch.device("meta"):
        return timm.create_model(name)


def _check_no_vit_shape(outline: Any, name: str, shape: dict[str, int | None]) -> None:
    for key, value in shape.items():
        if value is not None:
            raise InputError(
                f"model.{key} must not be set for {name}, which is not a plain "
                f"VisionTransformer, got {value}. Use model.arguments, with the "
                f"parameter's name in timm's {type(outline).__name__}."
            )


def is_plain_vit(encoder: Any) -> bool:
    """Whether a masked autoencoder fits: patches embedded one by one, standard blocks."""
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
    image_size: int | tuple[int, int],
    channels: int,
    patch_size: int | None,
    arguments: dict[str, Any],
    width: int | None,
    depth: int | None,
    heads: int | None,
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
    """timm's model with our arguments and the user's; its errors become one line."""
    try:
        try:
            return timm.create_model(name, **own, **arguments)
        except TypeError as error:
            if "multiple values" not in str(error):
                raise
            return _build_overriding(name, own | arguments)
    except Exception as error:  # an architecture may raise anything: show one line
        reason = first_line(error, most=1000)
    unknown = re.search(r"unexpected keyword argument '(\w+)'", reason)
    if unknown is not None and unknown[1] in arguments:
        allowed = [key for key in _parameters(outline) if key not in _RESERVED]
        raise InputError(
            f"model.arguments must be arguments of timm's {type(outline).__name__}, "
            f"got {unknown[1]!r}. {did_you_mean(unknown[1], allowed)}"
        )
    with_arguments = f" with model.arguments {shown(arguments)}" if arguments else ""
    raise InputError(
        f"model must be a shape that timm can build, got {name!r}{with_arguments}: "
        f"{reason}."
    )


def _build_overriding(name: str, arguments: dict[str, Any]) -> Any:
    """The named model with arguments that its entry point fixes, as MLP-Mixer's blocks.

    timm's entry points fill in a shape and call their family's `_create_...` function.
    Here that function is wrapped, so that our arguments replace the entry point's.
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
    """Whether timm's class for an architecture has an argument; False if there is none."""
    return timm.is_model(name) and argument in _parameters(_outline(name))


def _parameters(outline: Any) -> list[str]:
    return list(inspect.signature(type(outline).__init__).parameters)[1:]


def _check_arguments(arguments: dict[str, Any], reserved: dict[str, str]) -> None:
    for key in arguments:
        if key in reserved:
            remedy = f"Use {reserved[key]}." if reserved[key] else "Leave it out."
            raise InputError(
                f"model.arguments must not set what another key or the engine sets, "
                f"got {key!r}. {remedy}"
            )


def _check_shape(
    name: str,
    image_size: int | tuple[int, int],
    patch_size: int | None,
    width: int | None,
    heads: int | None,
) -> None:
    sides = height_width(image_size) if patch_size is not None else ()
    for side in sides:
        assert patch_size is not None
        if side % patch_size:
            nearest = max(2, side // patch_size) * patch_size
            raise InputError(
                f"data.image_size must be divisible by the patch size {patch_size} of "
                f"{name}, got {side}. Use {nearest}, or another model.patch_size."
            )
        if side // patch_size < 2:
            raise InputError(
                f"data.image_size must hold at least 2 x 2 patches of {patch_size} "
                f"pixels, got {side}."
            )
    if width is not None and (width % 4 or (heads is not None and width % heads)):
        raise InputError(
            f"model.width must be divisible by 4 and by the number of heads {heads}, "
            f"got {width}."
        )
