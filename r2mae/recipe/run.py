"""Load the trained model of a run folder."""

from os import PathLike, fspath
from pathlib import Path
from typing import Any

import torch
from torch import nn

from r2mae.errors import InputError
from r2mae.loaded_run import LoadedRun
from r2mae.modalities import find_wing
from r2mae.models.tuning import merge_lora
from r2mae.recipe.load import parse_recipe
from r2mae.schema.recipe import AnyRecipe
from r2mae.training.checkpoint import EMA, MODEL, load_tensors, read_manifest
from r2mae.training.run_folder import RunFolder, open_run


def load_run(
    path: str | PathLike[str], checkpoint: str = "last", weights: str = "trained"
) -> LoadedRun:
    """A run's model with the weights of a checkpoint, on a GPU where there is one.

    path: of the run folder.
    checkpoint: "last", "best" or "step_<n>".
    weights: "trained", or "ema" for the moving average that `training.ema` keeps.

    Raises: InputError when the run, the checkpoint or the average is missing or damaged.
    """
    if not isinstance(path, str | PathLike) or not str(path):
        raise InputError(
            f"path must be a run folder, such as runs/digits_demo, got {path!r}."
        )
    if not isinstance(checkpoint, str):
        raise InputError(
            f"checkpoint must be last, best or step_<n>, got {checkpoint!r}."
        )
    if weights not in ("trained", "ema"):
        raise InputError(f"weights must be trained or ema, got {weights!r}.")
    folder = open_run(fspath(path))
    place = _find_checkpoint(folder, checkpoint)
    manifest = read_manifest(place)
    document = manifest["recipe"]
    # The checkpoint holds all weights: what the run started from is not needed.
    document = document | {"model": document["model"] | {"init_from": None}}
    recipe = parse_recipe(document, str(place))
    wing = find_wing(recipe.modality)
    recipe = wing.with_checkpoint_facts(recipe, manifest)
    num_classes = len(manifest["classes"]) if "classes" in manifest else None
    model = wing.build_model(_without_lora(recipe), num_classes)
    _load_weights(model, place, manifest, weights)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return LoadedRun(wing, folder, recipe, manifest, model.eval().to(device))


def _without_lora(recipe: AnyRecipe) -> AnyRecipe:
    """The recipe of the model whose weights are merged."""
    tune = getattr(recipe, "tune", None)
    if tune is None or tune.lora is None:
        return recipe
    return recipe.model_copy(update={"tune": tune.model_copy(update={"lora": None})})


def _find_checkpoint(folder: RunFolder, checkpoint: str) -> Path:
    place = (
        folder.pointer(checkpoint)
        if checkpoint in ("last", "best")
        else folder.checkpoints / checkpoint
    )
    if place is None or not place.is_dir():
        pointers = [name for name in ("last", "best") if folder.pointer(name)]
        names = ", ".join([*pointers, *(saved.name for saved in folder.saved())])
        is_deleted = (folder.checkpoints / checkpoint).is_file()
        reason = ", which was deleted" if is_deleted else ""
        raise InputError(
            f"--checkpoint must be one of {names} for {folder.path}, got {checkpoint!r}{reason}."
        )
    return place


def _load_weights(
    model: nn.Module, place: Path, manifest: dict[str, Any], choice: str
) -> None:
    """Fill a model from a checkpoint, its pixel statistics included, which a card may have changed since."""
    weights = load_tensors(place, MODEL, manifest)
    if choice == "ema":
        if EMA not in manifest["sha256"]:
            raise InputError(
                f"--weights must be trained for {place}, which has no moving average, "
                "got ema. Train with training.ema set."
            )
        weights |= load_tensors(place, EMA, manifest)
    weights = merge_lora(weights, manifest["recipe"].get("tune", {}))
    try:
        model.load_state_dict(
            {name.removeprefix("model."): tensor for name, tensor in weights.items()}
        )
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(
            f"{place / MODEL} must hold the weights of its recipe, got: {reason}"
        ) from None
    for name, buffer in model.named_buffers():
        values = manifest["preprocessing"].get(name.rsplit(".", 1)[-1])
        if values is not None:
            buffer.copy_(torch.tensor(values).view_as(buffer))
