"""`r2mae export` of runs on images, to timm or transformers."""

from pathlib import Path
from typing import Any

from torch import nn

from r2mae.data.atomic import atomic_folder
from r2mae.data.card import load_card
from r2mae.errors import InputError
from r2mae.modalities.vision.interop.model_card import RunFacts, inline_yaml, model_card
from r2mae.modalities.vision.models.timm_encoder import is_plain_vit
from r2mae.modalities.vision.schema import height_width
from r2mae.models.classifier import Classifier
from r2mae.schema.pretrain import PretrainRecipe
from r2mae.wing import LoadedRun

# Key of the recipe -> argument of timm's VisionTransformer.
_SHAPE = {
    "patch_size": "patch_size",
    "width": "embed_dim",
    "depth": "depth",
    "heads": "num_heads",
}


def export_to_timm(loaded: LoadedRun, folder: Path) -> float:
    """Write the encoder for timm, with the head of a fine-tuned run.

    Returns: the largest difference of outputs on random pixels.

    Raises: InputError when folder is not empty, or timm cannot express the model.
    """
    from r2mae.modalities.vision.interop.export_timm import export_timm

    section, model = loaded.recipe.model, loaded.model.cpu()
    head: dict[str, Any] = {}
    if isinstance(model, Classifier):
        head = {"head": _linear(model), "class_names": loaded.manifest["class_names"]}
        model = model.backbone  # type: ignore[assignment]

    with atomic_folder(folder) as unfinished:
        card = model_card(run_facts(loaded), "timm")
        (unfinished / "README.md").write_text(card)
        return export_timm(
            model,  # type: ignore[arg-type]
            unfinished,
            architecture=section.encoder,
            arguments=timm_arguments(section, model.encoder),
            image_size=loaded.recipe.data.image_size,
            **head,
        )


def export_to_transformers(loaded: LoadedRun, folder: Path) -> float:
    """Write a masked autoencoder as a ViTMAE of transformers.

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

    with atomic_folder(folder) as unfinished:
        card = model_card(run_facts(loaded), "transformers")
        (unfinished / "README.md").write_text(card)
        return export_transformers(
            loaded.model.cpu(),  # type: ignore[arg-type]
            unfinished,
            architecture=recipe.model.encoder,
            image_size=recipe.data.image_size,
            mean_ratio=mean_ratio,
        )


def _linear(model: Classifier) -> nn.Linear:
    last = model.head[-1]
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


def run_facts(loaded: LoadedRun) -> RunFacts:
    """Facts for the model card, from the checkpoint's manifest and the data card."""
    manifest, recipe = loaded.manifest, loaded.recipe
    if isinstance(recipe, PretrainRecipe):
        law = {
            key: value for key, value in manifest["law"].items() if value is not None
        }
        trained = {"mask law": f"`{inline_yaml(law)}`, pattern {recipe.mask.pattern}"}
    else:
        trained = {"classes": ", ".join(manifest["class_names"][:20])}
        trained |= {
            f"test {name}": f"{value:.4f}"
            for name, value in loaded.folder.read_status().get("test", {}).items()
        }
    written = manifest["recipe"]
    card = load_card(recipe.data.card)
    source = written["model"].get("init_from")
    return RunFacts(
        run=loaded.folder.name,
        architecture=recipe.model.encoder,
        shape=timm_arguments(
            recipe.model, getattr(loaded.model, "backbone", loaded.model).encoder
        ),
        image_size=height_width(recipe.data.image_size),
        channels=recipe.data.channels,
        trained=trained,
        num_classes=loaded.num_classes,
        data_title=card.title,
        data_licence=card.licence,
        step=manifest["step"],
        global_samples=recipe.batch.global_samples,
        held_out_loss=manifest.get("validation_loss"),
        # Only the last component of a local path: the rest describes a machine.
        initial_weights=source
        if source is None or not Path(source).exists()
        else Path(source).resolve().name,
        version=manifest["versions"].get("r2mae"),
        commit=manifest["commit"],
    )
