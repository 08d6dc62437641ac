"""A run folder -> its trained model."""

import torch

from r2mae.errors import InputError
from r2mae.modalities import find_wing
from r2mae.recipe.load import parse_recipe
from r2mae.training.checkpoint import MODEL, load_tensors, read_manifest
from r2mae.training.run_folder import open_run
from r2mae.wing import LoadedRun


def load_run(path: str, checkpoint: str = "last") -> LoadedRun:
    """A run's model with the weights of a checkpoint: "last", "best" or "step_<n>"; on a GPU where there is one.

    Raises: InputError when the run or the checkpoint is missing or damaged.
    """
    folder = open_run(path)
    found = (
        folder.pointer(checkpoint)
        if checkpoint in ("last", "best")
        else folder.checkpoints / checkpoint
    )
    if found is None or not found.is_dir():
        known = ", ".join(["last", "best", *(saved.name for saved in folder.saved())])
        raise InputError(
            f"--checkpoint must be one that {path} has, got {checkpoint!r}. Known: {known}."
        )
    manifest = read_manifest(found)
    document = manifest["recipe"]
    document = document | {
        "model": document["model"] | {"init_from": None}
    }  # the weights are here
    recipe = parse_recipe(document, str(found))
    wing = find_wing(recipe.modality)
    recipe = wing.with_checkpoint_facts(recipe, manifest)
    model = wing.build_model(
        recipe, len(manifest["classes"]) if "classes" in manifest else None
    )
    weights = load_tensors(found, MODEL, manifest)
    try:
        model.load_state_dict(
            {name.removeprefix("model."): tensor for name, tensor in weights.items()}
        )
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise InputError(
            f"{found / MODEL} must hold the weights of its recipe, got: {first}"
        ) from None
    for (
        name,
        buffer,
    ) in model.named_buffers():  # as trained, whatever the data card says today
        if (
            values := manifest["preprocessing"].get(name.rsplit(".", 1)[-1])
        ) is not None:
            buffer.copy_(torch.tensor(values).view_as(buffer))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return LoadedRun(wing, folder, recipe, manifest, model.eval().to(device))
