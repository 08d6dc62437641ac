"""`model.init_from`: load other weights into a model of images, or say why not."""

from typing import Any

import numpy as np
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from r2mae.errors import InputError
from r2mae.modalities.vision.interop.sources import PixelStatistics, read_source
from r2mae.training.start import record_start

State = dict[str, Tensor]


def load_initial_weights(model: nn.Module, source: str) -> None:
    """Load the weights of source (see `read_source`) into a model of images.

    A decoder that the source lacks keeps its initial weights. `describe_start` says what
    was loaded.

    Raises: InputError when source cannot be read, or does not fit the recipe's model.
    """
    encoder: Any = model.encoder
    weights, num_heads, image_size, pixels = read_source(
        source, encoder.state_dict().keys()
    )
    own, names = model.state_dict(), set(weights)
    if all(name.startswith("encoder.") for name in own):  # a model without decoder
        weights = _encoder_part(weights)
    _check_names(weights, own, encoder, source)
    fitted = {
        name: _fit_positions(name, tensor, own, encoder, image_size)
        for name, tensor in weights.items()
        if name in own
    }
    _check_shapes(fitted, own, encoder, source)
    _check_no_surplus(weights, own, encoder, source)
    _check_heads(num_heads, encoder, source)
    _check_complete(fitted, model, source)
    model.load_state_dict(fitted, strict=False)
    note = _compare_pixels(model, pixels)
    record_start(model, source, fitted, names - set(fitted), note)


def _compare_pixels(model: Any, theirs: PixelStatistics | None) -> str:
    """How pixels of the source are standardised, where it is otherwise than in the recipe."""
    own = model.pixel_mean.flatten().tolist(), model.pixel_std.flatten().tolist()
    if theirs is None or _equal_pixels(own, theirs):
        return ""

    def text(pixels: PixelStatistics) -> str:
        mean, std = ([f"{value:.3g}" for value in values] for values in pixels)
        return f"mean {', '.join(mean)}, std {', '.join(std)}"

    return (
        f"the source standardises pixels by {text(theirs)}, the recipe by {text(own)}: "
        "mean and std of a data card set them"
    )


def _equal_pixels(own: PixelStatistics, theirs: PixelStatistics) -> bool:
    """Whether statistics are the same, one value standing for all channels."""
    pairs = zip(own, theirs, strict=True)
    return all(
        len(there) in (1, len(here)) and np.allclose(here, there, atol=1e-3)
        for here, there in pairs
    )


def _encoder_part(state: State) -> State:
    return {
        name: tensor for name, tensor in state.items() if name.startswith("encoder.")
    }


def _is_vit(encoder: Any) -> bool:
    return isinstance(encoder, VisionTransformer)


def _layout_keys(encoder: Any) -> str:
    """The recipe's keys that decide which parameters there are."""
    if _is_vit(encoder):
        return "model.encoder, depth and decoder_depth"
    return "model.encoder and model.arguments"


def _shape_keys(encoder: Any) -> str:
    """The recipe's keys that decide the shapes of parameters."""
    if _is_vit(encoder):
        return "model.width, depth, patch_size and decoder_*"
    return "model.arguments and patch_size"


def _check_names(weights: State, own: State, encoder: Any, source: str) -> None:
    """Raise InputError for weights of another architecture."""
    blocks = "encoder.blocks." if _is_vit(encoder) else "encoder."
    if not any(name in own and name.startswith(blocks) for name in weights):
        architecture = "ViT" if _is_vit(encoder) else type(encoder).__name__
        expected = next(name for name in own if name.startswith(blocks))
        examples = ", ".join(name.removeprefix("encoder.") for name in [*weights][:3])
        raise InputError(
            f"model.init_from must hold {architecture} weights, got none of the "
            f"encoder's names in {source!r}, such as "
            f"{expected.removeprefix('encoder.')}, but {examples or 'no tensors'}."
        )


def _check_shapes(weights: State, own: State, encoder: Any, source: str) -> None:
    for name, tensor in weights.items():
        if tensor.shape != own[name].shape:
            got = f"{name} must be {list(own[name].shape)}, got {list(tensor.shape)}"
            keys = _shape_keys(encoder)
            raise _misfit(source, f"the recipe's model: {got}. Set {keys}")


def _check_no_surplus(weights: State, own: State, encoder: Any, source: str) -> None:
    """Raise InputError for parameters that the recipe's model does not have."""
    # A ViT may bring more outside its blocks, a final norm for example.
    is_vit = _is_vit(encoder)
    required = ("encoder.blocks.", "decoder_blocks.") if is_vit else ("encoder.",)
    for name in weights:
        if name in own or name.startswith(_heads(encoder)):
            continue
        if name.startswith(required):
            keys = _layout_keys(encoder)
            text = f"the recipe's model, which has no {name}. Set {keys}"
            raise _misfit(source, text)


def _check_heads(num_heads: int | None, encoder: Any, source: str) -> None:
    """Raise InputError where attention heads differ, which no shape shows."""
    if not _is_vit(encoder) or num_heads is None:
        return
    own = encoder.blocks[0].attn.num_heads
    if num_heads != own:
        got = f"attention must have {own} heads, got {num_heads}"
        raise _misfit(source, f"the recipe's model: {got}. Set model.heads")


def _check_complete(weights: State, model: nn.Module, source: str) -> None:
    """Raise InputError for a part of an encoder, or a part of a decoder."""
    encoder: Any = model.encoder
    with_decoder = not all(name.startswith("encoder.") for name in weights)
    needed = model.state_dict()
    if not with_decoder:
        needed = _encoder_part(needed)
    # Parameters that no feature depends on (a classifier's norm) are frozen by
    # `MaskedBackbone`: they may be missing, and keep their initial values.
    optional = {
        name
        for name, parameter in model.named_parameters()
        if not _is_vit(encoder) and not parameter.requires_grad
    }
    missing = [name for name in needed if name not in weights and name not in optional]
    if missing:
        raise InputError(
            f"model.init_from {source!r} must hold a complete encoder, and a complete "
            f"decoder or none, got no {missing[0]}. "
            f"Set {_layout_keys(encoder)} as the source has them."
        )


def _misfit(source: str, what: str) -> InputError:
    return InputError(
        f"model.init_from {source!r} must fit {what} as the source has them."
    )


def _heads(encoder: Any) -> tuple[str, ...]:
    """Prefixes of a classifier's parameters, which are not loaded."""
    config = getattr(encoder, "pretrained_cfg", None) or {}
    classifier = config.get("classifier") or ()
    names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    return tuple(f"encoder.{name}" for name in (*names, "head", "fc_norm"))


def _fit_positions(
    name: str,
    tensor: Tensor,
    own: dict[str, Tensor],
    encoder: Any,
    image_size: tuple[int, int] | None,
) -> Tensor:
    """Position embeddings resampled to the recipe's grid, bicubic as in timm.

    Those of prefix tokens are kept. Other parameters are returned unchanged.

    image_size: (height, width) of the source; None where it is square.
    """
    expected = own[name]
    if name not in ("encoder.pos_embed", "decoder_positions"):
        return tensor
    from timm.layers import resample_abs_pos_embed

    grid: tuple[int, int] = encoder.patch_embed.grid_size
    num_prefix = expected.shape[1] - grid[0] * grid[1]
    num_patches = tensor.shape[1] - num_prefix
    aspect = 1.0 if image_size is None else image_size[0] / image_size[1]
    rows = max(1, round((num_patches * aspect) ** 0.5))
    columns = num_patches // rows
    if rows * columns != num_patches or tensor.shape[2] != expected.shape[2]:
        return tensor  # the check of shapes names it
    if (rows, columns) == grid:
        return tensor
    resampled: Tensor = resample_abs_pos_embed(
        tensor, list(grid), [rows, columns], num_prefix_tokens=num_prefix
    )
    return resampled
