"""What `model.init_from` may name: a run of ours, a timm model, a transformers ViTMAE or ViT, by path or hub id."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from r2mae.errors import InputError, first_line
from r2mae.interop.quiet import quiet_transformers
from r2mae.modalities.vision.interop.vit_mae import from_vit_mae
from r2mae.training.checkpoint import read_manifest
from r2mae.training.start import find_checkpoint, is_run, run_weights

_TRANSFORMERS = ("vit_mae", "vit")


class Source(NamedTuple):
    """Weights by our names, and what weights do not show."""

    weights: dict[str, Tensor]
    num_heads: int | None = None  # of a ViT's attention; None where nobody knows


def read_source(source: str) -> Source:
    """Weights under our names.

    source: a run or checkpoint folder of r2mae, a folder or hub id of a ViTMAE or ViT of transformers (with its
    classifier or without), a folder or file of timm weights (.safetensors, .pth, .bin), or `timm/<name>` from the hub.

    Raises: InputError when it cannot be read.
    """
    try:
        return _read(source)
    except InputError:
        raise
    except Exception as error:
        remedy = "Give a run folder, a ViTMAE or ViT folder or hub id, a timm folder or weight file, or timm/<name>."
        raise InputError(
            f"model.init_from must be readable, got {source!r}: {first_line(error)}. {remedy}"
        ) from None


def _read(source: str) -> Source:
    path = Path(source)
    if path.is_file():
        return Source(_encoder_only(_read_file(path)))
    if is_run(source):
        return _read_run(source)
    if path.is_dir() and (timm_weights := _read_timm_folder(path, source)) is not None:
        return timm_weights
    # No hub id looks like a path.
    is_path = source.startswith(("runs/", "/", ".", "~")) or source.count("/") > 1
    if is_path and not path.exists():
        raise InputError(
            f"model.init_from must exist, got {source!r}. Train it first, or check the path."
        )
    if source.startswith("timm/"):
        name = source.removeprefix("timm/")
        weights = timm.create_model(name, pretrained=True).state_dict()
        return Source(_encoder_only(weights), _usual_heads(name))
    return _read_transformers(source)


def _read_timm_folder(path: Path, source: str) -> Source | None:
    """Weights of a folder that timm wrote; None for one of transformers.

    Raises: InputError for other folders.
    """
    config_file = path / "config.json"
    if runs := sorted(path.glob("labels_*/seed_*/checkpoints")):
        raise InputError(
            f"model.init_from must be one run, got a table of {len(runs)} in {source!r}. "
            f"Name one, such as {runs[0].parent}."
        )
    if not config_file.is_file():
        raise InputError(
            f"model.init_from must hold a checkpoint or config.json, got neither in {source!r}."
        )
    config = json.loads(config_file.read_text())
    if "architecture" in config:  # timm's key; transformers writes model_type
        heads = config.get("model_args", {}).get("num_heads")
        weights = _encoder_only(_read_file(path / "model.safetensors"))
        return Source(weights, heads or _usual_heads(config["architecture"]))
    if config.get("model_type") not in _TRANSFORMERS:
        raise InputError(
            f"model.init_from must be a folder of model_type {' or '.join(_TRANSFORMERS)}, "
            f"got {config.get('model_type')!r} in {source!r}."
        )
    return None


def _read_run(source: str) -> Source:
    """A run's last checkpoint, pretrained or fine-tuned; a classifier's head is ignored."""
    section = read_manifest(find_checkpoint(source))["recipe"]["model"]
    heads = section["heads"] or _usual_heads(section["encoder"])
    return Source(run_weights(source), heads)


def _usual_heads(architecture: str) -> int | None:
    """Attention heads that timm gives an architecture; None where it has no such thing."""
    with torch.device("meta"):
        model: Any = timm.create_model(architecture)
    return (
        int(model.blocks[0].attn.num_heads)
        if isinstance(model, VisionTransformer)
        else None
    )


def _read_transformers(source: str) -> Source:
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
            theirs, loading_info = ViTModel.from_pretrained(
                source, add_pooling_layer=False, output_loading_info=True
            )
        else:
            theirs, loading_info = ViTMAEForPreTraining.from_pretrained(
                source, output_loading_info=True
            )
    prefix = "vit." if config.model_type == "vit" else ""
    # What a file lacks transformers makes up: for an encoder alone a decoder, with positions of zeros.
    made_up = set(loading_info["missing_keys"])
    kept = {
        f"{prefix}{name}": tensor
        for name, tensor in theirs.state_dict().items()
        if name not in made_up
    }
    return Source(from_vit_mae(kept), config.num_attention_heads)


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
