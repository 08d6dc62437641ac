"""An encoder as a folder that `timm.create_model("local-dir:<folder>", pretrained=True)` reads."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from r2mae.errors import InputError
from r2mae.modalities.vision.interop.same_features import largest_difference, noise
from r2mae.modalities.vision.models.image_encoder import ImageEncoder
from r2mae.modalities.vision.schema import height_width

_POOLS = {"mean": "avg", "cls": "token"}


def export_timm(
    model: ImageEncoder,
    folder: Path,
    *,
    architecture: str,
    arguments: dict[str, Any],
    image_size: int | tuple[int, int],
    head: nn.Linear | None = None,
    class_names: Sequence[str] = (),
) -> float:
    """Write weights and config.json, and load them back with timm.

    Returns: the largest difference of features, or of logits, on random pixels.

    arguments: timm's, beside architecture, image size, channels and pooling.
    head, class_names: of a fine-tuned model, (B, D) -> (B, C) and C names.

    Raises: InputError when timm cannot load the folder, or computes something else.
    """
    weights = _on_host("", model.encoder)
    config = timm_config(model, architecture, arguments, image_size)
    if head is not None:
        weights |= _on_host(f"{config['pretrained_cfg']['classifier']}.", head)
        config["num_classes"] = config["model_args"]["num_classes"] = len(class_names)
        config["pretrained_cfg"]["num_classes"] = len(class_names)
        config["label_names"] = list(class_names)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    batch = noise(model, image_size)
    with torch.no_grad():
        features = model.embed(batch)
        expected = features if head is None else head(features)
        actual = _run_timm(folder, model.pixels(batch), architecture)
    return largest_difference(actual, expected, f"{architecture} loaded by timm")


def _on_host(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """A copy of the module's state on the CPU."""
    return {
        f"{prefix}{name}": tensor.detach().cpu().clone().contiguous()
        for name, tensor in module.state_dict().items()
    }


def _run_timm(folder: Path, pixels: Tensor, architecture: str) -> Tensor:
    """Outputs of the model that timm loads from the folder."""
    try:
        loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        outputs: Tensor = loaded(pixels)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        # An entry point may fix an argument that a recipe can change here.
        fixed = re.search(r"multiple values for keyword argument '(\w+)'", reason)
        if fixed is not None:
            reason = f"timm fixes its {fixed[1]}, which the run has otherwise"
        raise InputError(
            f"{architecture} must be a model that timm can load from a folder, "
            f"got: {reason.rstrip('.')}. Use it from Python, with r2mae.load."
        ) from None
    return outputs


def timm_config(
    model: ImageEncoder,
    architecture: str,
    arguments: dict[str, Any],
    image_size: int | tuple[int, int],
) -> dict[str, Any]:
    """config.json in timm's format: the model, and how to prepare images."""
    encoder, pretrained = model.encoder, model.encoder.pretrained_cfg
    mean, std = model.pixel_mean.flatten().tolist(), model.pixel_std.flatten().tolist()
    fixed = isinstance(encoder, VisionTransformer) or bool(
        pretrained.get("fixed_input_size")
    )
    shape: dict[str, Any] = {"in_chans": len(mean), "num_classes": 0}
    if fixed:
        shape["img_size"] = image_size
    if isinstance(encoder, VisionTransformer):
        # In pretraining the norm comes before pooling: fc_norm would move it after.
        shape |= {"global_pool": _POOLS[model.pooling], "fc_norm": False}
        if isinstance(encoder.norm, nn.Identity):
            shape["final_norm"] = False
    return {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": model.width,
        "model_args": arguments | shape,
        "pretrained_cfg": {
            "custom_load": False,
            "input_size": [len(mean), *height_width(image_size)],
            "fixed_input_size": fixed,
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "crop_mode": "center",
            "mean": mean,
            "std": std,
            "num_classes": 0,
            "pool_size": None,
            "first_conv": pretrained.get("first_conv"),
            "classifier": pretrained.get("classifier"),
        },
    }
