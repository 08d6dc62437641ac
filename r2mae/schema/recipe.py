"""A recipe file of any task and modality -> its typed recipe."""

from typing import Any

from r2mae.errors import InputError, did_you_mean
from r2mae.schema.cell import CellClassifier, CellData
from r2mae.schema.dna import DnaClassifier, DnaSequenceData
from r2mae.schema.document import apply_overrides, load_document
from r2mae.schema.finetune import FinetuneRecipe
from r2mae.schema.language import LanguageClassifier, SentenceData
from r2mae.schema.pretrain import CellPretrainRecipe, DnaPretrainRecipe, LanguagePretrainRecipe, PretrainRecipe
from r2mae.schema.section import shown, validate
from r2mae.schema.training import Recipe
from r2mae.schema.vision import VisionClassifier, VisionData, VisionModel, VisionTuningData

AnyRecipe = Recipe[Any, Any]

# A modality is one line a task, beside its files in schema/, datasets/ and models/.
RECIPES: dict[str, dict[str, type[AnyRecipe]]] = {
    "pretrain": {
        "vision": PretrainRecipe[VisionData, VisionModel],
        "cell": CellPretrainRecipe,
        "language": LanguagePretrainRecipe,
        "dna": DnaPretrainRecipe,
    },
    "finetune": {
        "vision": FinetuneRecipe[VisionTuningData, VisionClassifier],
        "cell": FinetuneRecipe[CellData, CellClassifier],
        "language": FinetuneRecipe[SentenceData, LanguageClassifier],
        "dna": FinetuneRecipe[DnaSequenceData, DnaClassifier],
    },
}


def parse_recipe(document: dict[str, Any], where: str) -> AnyRecipe:
    """Validate a document as the recipe of its task and modality.

    Raises: InputError with the first mistake as one line.
    """
    task = _known(document, "task", RECIPES, where)
    return validate(RECIPES[task][_known(document, "modality", RECIPES[task], where)], document, where)


def load_recipe(path: str, overrides: list[str] | None = None, task: str | None = None) -> AnyRecipe:
    """Read a recipe file, apply `--set` overrides, and validate it; with a task, insist on it.

    Raises: InputError with the first mistake as one line.
    """
    recipe = parse_recipe(apply_overrides(load_document(path), overrides or []), str(path))
    if task is not None and recipe.task != task:
        remedy = f"Run: r2mae {recipe.task} {path}"
        raise InputError(f"{path}: task must be {task} here, got {recipe.task}. {remedy}")
    return recipe


def recipe_document(recipe: AnyRecipe) -> dict[str, Any]:
    """The resolved recipe, defaults filled in, as a plain mapping that `parse_recipe` reads back."""
    return recipe.model_dump(mode="json")


def _known(document: dict[str, Any], key: str, known: dict[str, Any], where: str) -> str:
    value = document.get(key)
    if isinstance(value, str) and value in known:
        return value
    remedy = did_you_mean(str(value), known)
    raise InputError(f"{where}: {key} must be one of {', '.join(known)}, got {shown(value)}. {remedy}")
