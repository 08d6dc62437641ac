"""`model.init_from`: filling a model of images with weights that others trained, or saying why they do not fit."""

from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from r2mae.errors import InputError
from r2mae.modalities.vision.interop.sources import read_source


def load_initial_weights(model: nn.Module, source: str) -> None:
    """Fill a model of images from source (see `read_source`); a decoder that the source lacks stays as it was made.

    Raises: InputError when source cannot be read, or does not fit the recipe's model.
    """
    weights, num_heads = read_source(source)
    own = model.state_dict()
    encoder: Any = model.encoder
    is_vit = isinstance(encoder, VisionTransformer)
    if all(
        name.startswith("encoder.") for name in own
    ):  # no decoder here: the source's has no place
        weights = {
            name: tensor
            for name, tensor in weights.items()
            if name.startswith("encoder.")
        }
    surplus = [
        name
        for name in weights
        if name not in own and name.startswith(_must_fit(encoder))
    ]
    surplus = [name for name in surplus if not name.startswith(_heads(encoder))]
    weights = {
        name: _fit_positions(name, tensor, own, encoder)
        for name, tensor in weights.items()
        if name in own
    }
    if not any(
        name.startswith("encoder.blocks." if is_vit else "encoder.") for name in weights
    ):
        kind = "ViT" if is_vit else type(encoder).__name__
        raise InputError(
            f"model.init_from must hold {kind} weights, got none of the encoder's names in {source!r}."
        )
    shape = (
        "model.width, depth, patch_size and decoder_*"
        if is_vit
        else "model.arguments and patch_size"
    )
    layout = (
        "model.encoder, depth and decoder_depth"
        if is_vit
        else "model.encoder and model.arguments"
    )
    for name, tensor in weights.items():
        if tensor.shape != own[name].shape:
            got = f"{name} must be {list(own[name].shape)}, got {list(tensor.shape)}"
            raise _misfit(source, f"the recipe's model: {got}. Set {shape}")
    if surplus:
        raise _misfit(
            source, f"the recipe's model, which has no {surplus[0]}. Set {layout}"
        )
    if (
        is_vit
        and num_heads is not None
        and num_heads != encoder.blocks[0].attn.num_heads
    ):
        got = f"attention must have {encoder.blocks[0].attn.num_heads} heads, got {num_heads}"
        raise _misfit(source, f"the recipe's model: {got}. Set model.heads")
    with_decoder = not all(name.startswith("encoder.") for name in weights)
    needed = [name for name in own if with_decoder or name.startswith("encoder.")]
    # What no feature depends on (a classifier's norm) is frozen, and stays as it was made where the source has none.
    idle = {
        name
        for name, parameter in model.named_parameters()
        if not is_vit and not parameter.requires_grad
    }
    absent = [name for name in needed if name not in weights and name not in idle]
    if absent:
        raise InputError(
            f"model.init_from {source!r} must hold a whole encoder, and a whole decoder or none, got no {absent[0]}. "
            f"Set {layout} as the source has them."
        )
    model.load_state_dict(weights, strict=False)


def _misfit(source: str, what: str) -> InputError:
    return InputError(
        f"model.init_from {source!r} must fit {what} as the source has them."
    )


def _must_fit(encoder: Any) -> tuple[str, ...]:
    """Names that a source may not have beyond the model's own."""
    return (
        ("encoder.blocks.", "decoder_blocks.")
        if isinstance(encoder, VisionTransformer)
        else ("encoder.",)
    )


def _heads(encoder: Any) -> tuple[str, ...]:
    """Names of a classifier, which has no place here."""
    said = (getattr(encoder, "pretrained_cfg", None) or {}).get("classifier") or ()
    names = (said,) if isinstance(said, str) else tuple(said)
    return tuple(f"encoder.{name}" for name in (*names, "head", "fc_norm"))


def _fit_positions(
    name: str, tensor: Tensor, own: dict[str, Tensor], encoder: Any
) -> Tensor:
    """Position tables resampled to the recipe's grid (bicubic, as timm does), prefix tokens kept."""
    wanted = own[name]
    if (
        name not in ("encoder.pos_embed", "decoder_positions")
        or tensor.shape == wanted.shape
    ):
        return tensor
    from timm.layers import resample_abs_pos_embed

    grid: tuple[int, int] = encoder.patch_embed.grid_size
    num_prefix = wanted.shape[1] - grid[0] * grid[1]
    side = round((tensor.shape[1] - num_prefix) ** 0.5)
    if (
        side * side + num_prefix != tensor.shape[1]
        or tensor.shape[2] != wanted.shape[2]
    ):
        return tensor  # refused by shape, with the name
    resampled: Tensor = resample_abs_pos_embed(
        tensor, list(grid), [side, side], num_prefix_tokens=num_prefix
    )
    return resampled
