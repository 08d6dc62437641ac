"""What `model.init_from` may name: a run, a timm model, or a ViTMAE or ViT of transformers."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from timm.models.vision_transformer import VisionTransformer

from r2mae.data.hub import is_local
from r2mae.errors import InputError, first_line
from r2mae.interop.quiet import quiet_transformers
from r2mae.interop.tensor_file import read_tensor_file
from r2mae.modalities.vision.interop.layouts import State, rename_file_weights
from r2mae.modalities.vision.interop.vit_mae import from_vit_mae
from r2mae.training.checkpoint import MANIFEST, read_manifest
from r2mae.training.start import find_checkpoint, is_run, run_weights

_TRANSFORMERS = ("vit_mae", "vit")
PixelStatistics = tuple[list[float], list[float]]


class Source(NamedTuple):
    """Weights by our names.

    num_heads: of a ViT's attention, which weights do not show; None where unknown.
    image_size: of the source, a side or (height, width); None where square or unknown.
    pixels: mean and standard deviation, by channel, that its input is standardised with;
        None where unknown.
    """

    weights: State
    num_heads: int | None = None
    image_size: tuple[int, int] | None = None
    pixels: PixelStatistics | None = None


def read_source(source: str, encoder_names: Collection[str]) -> Source:
    """Weights under our names.

    source: a run or checkpoint folder of r2mae, a folder or hub id of a ViTMAE or ViT of
        transformers (with its classifier or without), a folder or file of timm weights or
        of the official MAE (.safetensors, .pth, .bin), or `timm/<name>` from the hub.
    encoder_names: of the recipe's encoder, as timm names them.

    Raises: InputError when it cannot be read.
    """
    try:
        return _read(source, encoder_names)
    except InputError as error:
        if repr(source) in str(error):
            raise
        text = str(error).replace("model.init_from", f"model.init_from {source!r}", 1)
        raise InputError(text) from None
    except Exception as error:
        remedy = (
            "Give a run folder, a ViTMAE or ViT folder or hub id, a timm folder or "
            "weight file, or timm/<name>."
        )
        raise InputError(
            f"model.init_from must be readable, got {source!r}: {first_line(error)}. "
            f"{remedy}"
        ) from None


def _read(source: str, encoder_names: Collection[str]) -> Source:
    path = Path(source)
    if path.is_file() and (path.parent / MANIFEST).is_file():
        return _read_run(str(path.parent))  # which verifies the file's sha256
    if path.is_file():
        return Source(rename_file_weights(read_tensor_file(path), encoder_names))
    if is_run(source):
        return _read_run(source)
    if path.is_dir() and (config := _read_timm_config(path, source)) is not None:
        state = read_tensor_file(path / "model.safetensors")
        heads = config.get("model_args", {}).get("num_heads")
        return Source(
            rename_file_weights(state, encoder_names),
            heads or _usual_heads(config["architecture"]),
            pixels=_pixels(config.get("pretrained_cfg", {}), "mean", "std"),
        )
    if source.startswith("timm/"):
        name = source.removeprefix("timm/")
        theirs = timm.create_model(name, pretrained=True)
        weights = rename_file_weights(theirs.state_dict(), encoder_names)
        pixels = _pixels(theirs.pretrained_cfg, "mean", "std")
        return Source(weights, _usual_heads(name), pixels=pixels)
    if is_local(source) and not path.exists():
        raise InputError(
            f"model.init_from must exist, got {source!r}. "
            "Train it first, or check the path."
        )
    return _read_transformers(source)


def _read_timm_config(path: Path, source: str) -> dict[str, Any] | None:
    """The config.json of a folder that timm wrote; None for one of transformers.

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
            "model.init_from must hold a checkpoint or config.json, got neither in "
            f"{source!r}."
        )
    config: dict[str, Any] = json.loads(config_file.read_text())
    if "architecture" in config:  # timm's key; transformers writes model_type
        return config
    if config.get("model_type") not in _TRANSFORMERS:
        raise InputError(
            f"model.init_from must be a folder of model_type {' or '.join(_TRANSFORMERS)}, "
            f"got {config.get('model_type')!r} in {source!r}."
        )
    return None


def _read_run(source: str) -> Source:
    """A run's last checkpoint, pretrained or fine-tuned; a classifier's head is ignored."""
    manifest = read_manifest(find_checkpoint(source))
    recipe = manifest["recipe"]
    section, size = recipe["model"], recipe.get("data", {}).get("image_size")
    heads = section["heads"] or _usual_heads(section["encoder"])
    height_width = tuple(size) if isinstance(size, list) else None
    pixels = _pixels(manifest.get("preprocessing", {}), "pixel_mean", "pixel_std")
    return Source(run_weights(source), heads, height_width, pixels)


def _pixels(settings: dict[str, Any], mean: str, std: str) -> PixelStatistics | None:
    """Two lists of numbers by their keys; None where one is missing."""
    values = settings.get(mean), settings.get(std)
    if not all(isinstance(each, list | tuple) for each in values):
        return None
    return [*values[0]], [*values[1]]  # type: ignore[misc]


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
    return Source(
        from_vit_mae(kept), config.num_attention_heads, pixels=_processor_pixels(source)
    )


def _processor_pixels(source: str) -> PixelStatistics | None:
    """Of the image processor that a model of transformers comes with, if any."""
    from transformers import ImageProcessingMixin

    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(source)
    except OSError:
        return None
    if not settings.get("do_normalize", True):
        return [0.0], [1.0]
    return _pixels(settings, "image_mean", "image_std")
