"""`model.init_from`: start from a run of ours, a timm ViT, a transformers ViTMAE or ViT, by path or hub id."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from r2mae.errors import InputError
from r2mae.interop.quiet import quiet_transformers
from r2mae.interop.vit_mae import from_vit_mae

_PREFIX = "model."
_BACKBONE = "backbone."  # of a fine-tuned run, whose head has no place here
_TRANSFORMERS = ("vit_mae", "vit")


def load_initial_weights(model: nn.Module, source: str) -> None:
    """Fill a masked model of images from source; what the source does not have (a decoder, say) stays as it was made.

    source: a run or checkpoint folder of r2mae, a folder or hub id of a ViTMAE or ViT of transformers (with its
    classifier or without), a folder or file of timm weights (.safetensors, .pth, .bin), or `timm/<name>` from the hub.

    Raises: InputError when source cannot be read, or does not fit the recipe's model.
    """
    try:
        weights = _read(source)
    except InputError:
        raise
    except Exception as error:
        message = str(error).strip().splitlines() or [type(error).__name__]
        remedy = "Give a run folder, a ViTMAE or ViT folder or hub id, a timm folder or weight file, or timm/<name>."
        raise InputError(
            f"model.init_from must be readable, got {source!r}: {message[0][:160].rstrip('.')}. {remedy}"
        ) from None
    own = model.state_dict()
    if all(name.startswith("encoder.") for name in own):  # no decoder here: the source's has no place
        weights = {name: tensor for name, tensor in weights.items() if name.startswith("encoder.")}
    encoder: Any = model.encoder
    is_vit = isinstance(encoder, VisionTransformer)
    surplus = [name for name in weights if name not in own and name.startswith(_must_fit(encoder))]
    surplus = [name for name in surplus if not name.startswith(_heads(encoder))]
    weights = {name: _fit_positions(name, tensor, own, model) for name, tensor in weights.items() if name in own}
    if not any(name.startswith("encoder.blocks." if is_vit else "encoder.") for name in weights):
        kind = "ViT" if is_vit else type(encoder).__name__
        raise InputError(f"model.init_from must hold {kind} weights, got none of the encoder's names in {source!r}.")
    shape = "model.width, depth, patch_size and decoder_*" if is_vit else "model.arguments and patch_size"
    layout = "model.encoder, depth and decoder_depth" if is_vit else "model.encoder and model.arguments"
    for name, tensor in weights.items():
        if tensor.shape != own[name].shape:
            raise InputError(
                f"model.init_from {source!r} must fit the recipe's model: {name} must be {list(own[name].shape)}, "
                f"got {list(tensor.shape)}. Set {shape} as the source has them."
            )
    if surplus:
        raise InputError(
            f"model.init_from {source!r} must fit the recipe's model, which has no {surplus[0]}. "
            f"Set {layout} as the source has them."
        )
    with_decoder = not all(name.startswith("encoder.") for name in weights)
    needed = [name for name in own if with_decoder or name.startswith("encoder.")]
    # What no feature depends on (a classifier's norm) is frozen, and stays as it was made where the source has none.
    idle = {name for name, parameter in model.named_parameters() if not is_vit and not parameter.requires_grad}
    absent = [name for name in needed if name not in weights and name not in idle]
    if absent:
        raise InputError(
            f"model.init_from {source!r} must hold a whole encoder, and a whole decoder or none, got no {absent[0]}. "
            f"Set {layout} as the source has them."
        )
    model.load_state_dict(weights, strict=False)


def _must_fit(encoder: Any) -> tuple[str, ...]:
    """Names that a source may not have beyond the model's own."""
    return ("encoder.blocks.", "decoder_blocks.") if isinstance(encoder, VisionTransformer) else ("encoder.",)


def _heads(encoder: Any) -> tuple[str, ...]:
    """Names of a classifier, which has no place here."""
    said = (getattr(encoder, "pretrained_cfg", None) or {}).get("classifier") or ()
    names = (said,) if isinstance(said, str) else tuple(said)
    return tuple(f"encoder.{name}" for name in (*names, "head", "fc_norm"))


def _read(source: str) -> dict[str, Tensor]:
    path = Path(source)
    if path.is_file():
        return _encoder_only(_read_file(path))
    if path.is_dir():
        checkpoint = _checkpoint_folder(path)
        if checkpoint is not None:
            tensors = load_file(checkpoint / "model.safetensors")
            return {name.removeprefix(_PREFIX).removeprefix(_BACKBONE): tensor for name, tensor in tensors.items()}
        config = path / "config.json"
        if not config.is_file():
            raise InputError(f"model.init_from must hold a checkpoint or config.json, got neither in {source!r}.")
        written = json.loads(config.read_text())
        if "architecture" in written:  # timm's word; transformers writes model_type and architectures
            return _encoder_only(_read_file(path / "model.safetensors"))
        if written.get("model_type") not in _TRANSFORMERS:
            raise InputError(
                f"model.init_from must be a folder of model_type {' or '.join(_TRANSFORMERS)}, "
                f"got {written.get('model_type')!r} in {source!r}."
            )
    if source.startswith("timm/"):
        import timm

        return _encoder_only(timm.create_model(source.removeprefix("timm/"), pretrained=True).state_dict())
    return _read_transformers(source)


def _read_transformers(source: str) -> dict[str, Tensor]:
    """A ViTMAE, or the encoder of a ViT; names of transformers 4 and 5 alike."""
    from transformers import AutoConfig, ViTMAEForPreTraining, ViTModel

    config = AutoConfig.from_pretrained(source)
    if config.model_type not in _TRANSFORMERS:
        raise InputError(
            f"model.init_from must be of model_type {' or '.join(_TRANSFORMERS)}, "
            f"got {config.model_type!r} in {source!r}."
        )
    if config.hidden_act != "gelu":
        raise InputError(
            f"model.init_from must be a ViT with hidden_act gelu, got {config.hidden_act!r} in {source!r}."
        )
    with quiet_transformers():
        if config.model_type == "vit":
            theirs, found = ViTModel.from_pretrained(source, add_pooling_layer=False, output_loading_info=True)
        else:
            theirs, found = ViTMAEForPreTraining.from_pretrained(source, output_loading_info=True)
    prefix = "vit." if config.model_type == "vit" else ""
    # What a file lacks transformers makes up: for an encoder alone a decoder, with positions of zeros.
    made_up = set(found["missing_keys"])
    kept = {f"{prefix}{name}": tensor for name, tensor in theirs.state_dict().items() if name not in made_up}
    return from_vit_mae(kept)


def _checkpoint_folder(path: Path) -> Path | None:
    if (path / "manifest.json").is_file():
        return path
    pointer = path / "checkpoints" / "last"
    return path / "checkpoints" / pointer.read_text().strip() if pointer.is_file() else None


def _read_file(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return dict(load_file(path))
    loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("model", "state_dict", "model_ema"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    return dict(loaded)


def _encoder_only(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's names under `encoder.`; what the model has no place for (a classifier) is left out where it is filled."""
    return {f"encoder.{name}": tensor for name, tensor in state.items()}


def _fit_positions(name: str, tensor: Tensor, own: dict[str, Tensor], model: nn.Module) -> Tensor:
    """Position tables resampled to the recipe's grid (bicubic, as timm does), prefix tokens kept."""
    wanted = own[name]
    if name not in ("encoder.pos_embed", "decoder_positions") or tensor.shape == wanted.shape:
        return tensor
    from timm.layers import resample_abs_pos_embed

    place: Any = getattr(model, "feature_map", model)  # a backbone's own cells, which need not be what is hidden
    grid: tuple[int, int] = place.grid
    num_prefix = wanted.shape[1] - grid[0] * grid[1]
    side = round((tensor.shape[1] - num_prefix) ** 0.5)
    if side * side + num_prefix != tensor.shape[1] or tensor.shape[2] != wanted.shape[2]:
        return tensor  # refused by shape, with the name
    resampled: Tensor = resample_abs_pos_embed(tensor, list(grid), [side, side], num_prefix_tokens=num_prefix)
    return resampled
