"""`r2mae export` of runs on images, to timm or transformers."""

from pathlib import Path
from typing import Any

from torch import nn

from r2mae.errors import InputError
from r2mae.loaded_run import LoadedRun
from r2mae.modalities.vision.models.timm_encoder import is_plain_vit
from r2mae.models.classifier import Classifier, OrderedLogits
from r2mae.schema.pretrain import PretrainRecipe

# Key of the recipe -> argument of timm's VisionTransformer.
_SHAPE = {
    "patch_size": "patch_size",
    "width": "embed_dim",
    "depth": "depth",
    "heads": "num_heads",
}


def export_to_timm(loaded: LoadedRun, folder: Path) -> float:
    """Write the encoder for timm to an empty folder, with the head of a fine-tuned run.

    Returns: the largest difference of outputs on random pixels.

    Raises: InputError when timm cannot express the model.
    """
    from r2mae.modalities.vision.interop.export_timm import export_timm

    section, model = loaded.recipe.model, loaded.model.cpu()
    head: dict[str, Any] = {}
    if isinstance(model, Classifier):
        head = {"head": _linear(model), "class_names": loaded.manifest["class_names"]}
        model = model.backbone  # type: ignore[assignment]

    return export_timm(
        model,  # type: ignore[arg-type]
        folder,
        architecture=section.encoder,
        arguments=timm_arguments(section, model.encoder),
        image_size=loaded.recipe.data.image_size,
        **head,
    )


def export_to_transformers(loaded: LoadedRun, folder: Path) -> float:
    """Write a masked autoencoder as a ViTMAE of transformers to an empty folder.

    Returns: the largest difference of features on random pixels.

    Raises: InputError for fine-tuned runs and models that ViTMAE does not support.
    """
    from r2mae.modalities.vision.interop.export_transformers import export_transformers

    recipe = loaded.recipe
    if not isinstance(recipe, PretrainRecipe):
        raise InputError(
            "RUN must be a pretraining run to be exported to transformers. Use --to timm."
        )
    if not isinstance(recipe.data.image_size, int):
        raise InputError(
            "data.image_size must be square to be exported to transformers, "
            f"got {list(recipe.data.image_size)}. Use --to timm."
        )
    mean_ratio = recipe.mask.law.mean(1.0)  # at the end of a schedule

    return export_transformers(
        loaded.model.cpu(),  # type: ignore[arg-type]
        folder,
        architecture=recipe.model.encoder,
        image_size=recipe.data.image_size,
        mean_ratio=mean_ratio,
    )


def _linear(model: Classifier) -> nn.Linear:
    last = model.head[-1]
    if isinstance(last, OrderedLogits):
        raise InputError(
            "tune.target must not be ordinal to be exported, since timm's heads are one "
            "linear map. Use --to onnx or torch_export."
        )
    if len(model.head) > 2 or not isinstance(last, nn.Linear):
        raise InputError(
            "tune.hidden must be null to be exported, since timm's heads are one linear map."
        )
    return last


def timm_arguments(section: Any, encoder: Any) -> dict[str, Any]:
    """timm's arguments for the encoder: a ViT's shape, and the recipe's arguments."""
    # For other backbones patch_size is the hidden patch's, not an argument of timm.
    names = _SHAPE if is_plain_vit(encoder) else {}
    shape = {theirs: getattr(section, ours) for ours, theirs in names.items()}
    set_shape = {name: value for name, value in shape.items() if value is not None}
    return set_shape | dict(section.arguments)
