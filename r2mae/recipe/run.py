"""A run folder -> its trained model."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from r2mae.errors import InputError
from r2mae.recipe.modality import MODALITIES, build_model
from r2mae.schema.recipe import AnyRecipe, parse_recipe
from r2mae.training.checkpoint import MODEL, load_tensors, read_manifest
from r2mae.training.run_folder import RunFolder, open_run


@dataclass(frozen=True)
class LoadedRun:
    """A trained run, ready to be used."""

    folder: RunFolder
    recipe: AnyRecipe
    manifest: dict[str, Any]
    model: nn.Module

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def num_classes(self) -> int | None:
        """What a fine-tuned run tells apart; None for a pretraining run."""
        classes = self.manifest.get("classes")
        return None if classes is None else len(classes)


def load_run(path: str, checkpoint: str = "last") -> LoadedRun:
    """A run's model with the weights of a checkpoint: "last", "best" or "step_<n>"; on a GPU where there is one.

    Raises: InputError when the run or the checkpoint is missing or damaged.
    """
    folder = open_run(path)
    found = folder.pointer(checkpoint) if checkpoint in ("last", "best") else folder.checkpoints / checkpoint
    if found is None or not found.is_dir():
        known = ", ".join(["last", "best", *(saved.name for saved in folder.saved())])
        raise InputError(f"--checkpoint must be one that {path} has, got {checkpoint!r}. Known: {known}.")
    manifest = read_manifest(found)
    document = manifest["recipe"]
    document = document | {"model": document["model"] | {"init_from": None}}  # the weights are here
    recipe = parse_recipe(document, str(found))
    recipe = MODALITIES[recipe.modality].with_facts(recipe, manifest)
    model = build_model(recipe, len(manifest["classes"]) if "classes" in manifest else None)
    weights = load_tensors(found, MODEL, manifest)
    try:
        model.load_state_dict({name.removeprefix("model."): tensor for name, tensor in weights.items()})
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise InputError(f"{found / MODEL} must hold the weights of its recipe, got: {first}") from None
    for name, buffer in model.named_buffers():  # as trained, whatever the data card says today
        if (values := manifest["preprocessing"].get(name.rsplit(".", 1)[-1])) is not None:
            buffer.copy_(torch.tensor(values).view_as(buffer))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return LoadedRun(folder, recipe, manifest, model.eval().to(device))
