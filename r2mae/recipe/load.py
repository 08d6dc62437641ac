"""Load and validate a recipe file of any task and modality."""

from pathlib import Path
from typing import Any

from r2mae.errors import InputError, did_you_mean
from r2mae.modalities import BUILT_IN, find_wing, wing_names
from r2mae.recipe.shipped import find_recipe
from r2mae.schema.document import apply_overrides, load_document
from r2mae.schema.recipe import AnyRecipe
from r2mae.schema.section import shown, validate

TASKS = ("pretrain", "finetune")
_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".tar")


def parse_recipe(document: dict[str, Any], where: str) -> AnyRecipe:
    """Validate a document as the recipe of its task and modality.

    Raises: InputError with the first mistake as one line.
    """
    task = _one_of(document, "task", TASKS, where)
    modality = document.get("modality")
    # Names of other packages' wings are in the metadata of everything installed.
    if modality not in BUILT_IN:
        modality = _one_of(document, "modality", wing_names(), where)
    wing = find_wing(modality)
    if task == "pretrain":
        return validate(wing.pretrain_recipe, document, where)
    return validate(wing.finetune_recipe, document, where)


def load_recipe(
    path: str, overrides: list[str] | None = None, task: str | None = None
) -> AnyRecipe:
    """Read a recipe, apply `--set` overrides, and validate it; with a task, require it.

    path: of a file, or a name that `r2mae recipe list` shows.

    Raises: InputError with the first mistake as one line.
    """
    written = load_document(find_recipe(path))
    document = apply_overrides(written, overrides or [])
    recipe = parse_recipe(document, str(path))
    if task is not None and recipe.task != task:
        kind = {"pretrain": "pretraining", "finetune": "fine-tuning"}[task]
        remedy = f"Name a {kind} recipe; r2mae {recipe.task} trains this one."
        raise InputError(
            f"{path}: task must be {task} here, got {recipe.task}. {remedy}"
        )
    _check_weight_file(recipe.model.init_from)
    _check_pretrained(recipe)
    return recipe


def _check_weight_file(source: str | None) -> None:
    """Raise InputError where model.init_from is a file of another kind, such as a table."""
    if source is None:
        return
    suffix = Path(source).suffix
    if suffix and suffix not in _WEIGHT_SUFFIXES and Path(source).is_file():
        raise InputError(
            "model.init_from must be a run folder, a model folder or hub id, or a file "
            f"of weights ({', '.join(_WEIGHT_SUFFIXES)}), got {source!r}. Name one."
        )


def _check_pretrained(recipe: AnyRecipe) -> None:
    """Raise InputError where most of an encoder with random weights would not be trained.

    `tune.freeze` is allowed: a head on random features is a baseline.
    """
    tune = getattr(recipe, "tune", None)
    if tune is None or recipe.model.init_from is not None:
        return
    for key in ("lora", "last_layers"):
        if getattr(tune, key) is not None:
            raise InputError(
                f"model.init_from must name pretrained weights with tune.{key}, which "
                f"trains few of the encoder's, got null. Name some, or leave tune.{key} out."
            )


def _one_of(
    document: dict[str, Any], key: str, names: tuple[str, ...], where: str
) -> str:
    value = document.get(key)
    if isinstance(value, str) and value in names:
        return value
    remedy = did_you_mean(str(value), names)
    raise InputError(
        f"{where}: {key} must be one of {', '.join(names)}, got {shown(value)}. {remedy}"
    )
