"""A run -> a folder for another library."""

from pathlib import Path
from typing import Any, Literal

from torch import nn

from r2mae.datasets.card import load_card
from r2mae.errors import InputError
from r2mae.interop.folder import write_folder
from r2mae.interop.model_card import RunFacts, model_card, words
from r2mae.models.classifier import Classifier
from r2mae.models.timm_encoder import is_plain_vit
from r2mae.recipe import dna, language
from r2mae.recipe.run import LoadedRun
from r2mae.schema.pretrain import PretrainRecipe

Library = Literal["timm", "transformers"]
# What a recipe calls what timm's models take.
_SHAPE = {"patch_size": "patch_size", "width": "embed_dim", "depth": "depth", "heads": "num_heads"}


def export_run(loaded: LoadedRun, library: Library, folder: Path) -> float:
    """Write a run's model for timm or transformers; gives the largest difference of what both compute, on noise.

    Raises: InputError when folder holds something, or the library cannot express the model.
    """
    from r2mae.interop.export_timm import export_timm
    from r2mae.interop.export_transformers import export_transformers
    from r2mae.models.image_encoder import ImageEncoder

    if loaded.recipe.modality == "language":
        return language.export_language(loaded, library, folder)
    if loaded.recipe.modality == "dna":
        return dna.export_dna(loaded, library, folder)
    recipe, model = loaded.recipe, loaded.model.cpu()
    section, image_size = recipe.model, recipe.data.image_size
    tuned: dict[str, Any] = {}
    if isinstance(model, Classifier):
        tuned = {"head": _linear(model), "class_names": loaded.manifest["class_names"]}
        model = model.backbone  # type: ignore[assignment]
    if not isinstance(model, ImageEncoder):
        raise InputError(f"RUN must be of images to be exported to {library}, got {recipe.modality}.")

    def write(to: Path) -> float:
        (to / "README.md").write_text(model_card(run_facts(loaded), library))
        if library == "timm":
            names = {"architecture": section.encoder, "arguments": timm_arguments(section, model.encoder)}
            return export_timm(model, to, **names, image_size=image_size, **tuned)
        if not isinstance(recipe, PretrainRecipe):
            raise InputError("RUN must be a pretraining run to be exported to transformers. Use --to timm.")
        ratio = recipe.mask.law.mean(1.0)  # of a law that moves, where it ends
        return export_transformers(model, to, architecture=section.encoder, image_size=image_size, mean_ratio=ratio)

    return write_folder(folder, write)


def _linear(model: Classifier) -> nn.Linear:
    last = model.head[-1]
    if len(model.head) > 2 or not isinstance(last, nn.Linear):
        raise InputError("tune.hidden must be null to be exported, since timm's heads are one linear map.")
    return last


def timm_arguments(section: Any, encoder: Any) -> dict[str, Any]:
    """What timm was given to build the encoder: a ViT's shape in a recipe's own words, and the arguments."""
    words_of_vits = _SHAPE if is_plain_vit(encoder) else {}  # elsewhere patch_size is what is hidden
    given = {theirs: getattr(section, ours) for ours, theirs in words_of_vits.items()}
    return {name: value for name, value in given.items() if value is not None} | dict(section.arguments)


def run_facts(loaded: LoadedRun) -> RunFacts:
    """What the checkpoint says of itself, and the data card of what the card names."""
    manifest, recipe = loaded.manifest, loaded.recipe
    if isinstance(recipe, PretrainRecipe):
        law = {key: value for key, value in manifest["law"].items() if value is not None}
        trained = {"mask law": f"`{words(law)}`, pattern {recipe.mask.pattern}"}
    else:
        trained = {"classes": ", ".join(manifest["class_names"][:20])}
        trained |= {
            f"test {name}": f"{value:.4f}" for name, value in loaded.folder.read_status().get("test", {}).items()
        }
    written = manifest["recipe"]
    card = load_card(recipe.data.card)
    source = written["model"].get("init_from")
    return RunFacts(
        run=loaded.folder.name,
        architecture=recipe.model.encoder,
        shape=timm_arguments(recipe.model, getattr(loaded.model, "backbone", loaded.model).encoder),
        image_size=recipe.data.image_size,
        channels=recipe.data.channels,
        trained=trained,
        num_classes=loaded.num_classes,
        data_title=card.title,
        data_licence=card.licence,
        step=manifest["step"],
        global_samples=recipe.batch.global_samples,
        held_out_loss=manifest.get("validation_loss"),
        # A path says more of a computer than of a model.
        initial_weights=source if source is None or not Path(source).exists() else Path(source).resolve().name,
        version=manifest["versions"].get("r2mae"),
        commit=manifest["commit"],
    )
