"""Fine-tuning as a measurement: every run of a study, trained further on labels."""

from pathlib import Path
from typing import Any

import numpy as np

from r2mae.data.source import with_labels
from r2mae.errors import InputError
from r2mae.evaluation.classification import predict, truth
from r2mae.progress import progress_bar
from r2mae.recipe.load import parse_recipe
from r2mae.recipe.run import load_run
from r2mae.recipe.train import train_run
from r2mae.schema.document import set_keys
from r2mae.schema.finetune import FinetuneRecipe
from r2mae.schema.recipe import recipe_document
from r2mae.schema.study import FinetuneMeasure
from r2mae.studies.measurement import Measurement, Measurements, finetuned_name

Recipe = FinetuneRecipe[Any, Any]
_FOLDER = "finetuned"  # in the folder of the pretraining run


def finetuning_recipe(
    document: dict[str, Any],
    measure: FinetuneMeasure,
    pretraining: Any,
    start: Path | None,
) -> Recipe:
    """The recipe that fine-tunes a run with all of the study's numbers of labels.

    document: of the fine-tuning recipe that the study names.
    pretraining: recipe of the run.
    start: folder of the run; None before it exists.

    Raises: InputError for a recipe that is of another modality, or does not classify.
    """
    where = f"measure.finetune.recipe {measure.recipe}"
    document = set_keys(document, measure.set, where)
    trained = recipe_document(pretraining)
    if document.get("modality") != trained["modality"]:
        raise InputError(
            f"{where} must be of modality {trained['modality']}, got "
            f"{document.get('modality')}. Name another recipe."
        )
    model, data = document.get("model", {}), document.get("data", {})
    parsed = _parse(document, where)
    # The encoder must be that of the run, whatever axes the study has.
    shared = type(parsed.model).model_fields.keys() & trained["model"].keys()
    model |= {key: trained["model"][key] for key in shared}
    model["init_from"] = None if start is None else str(start)
    if parsed.data.card == trained["data"]["card"]:
        data["root"] = trained["data"]["root"]
    repeat = {"seeds": 1, "labels_per_class": list(measure.labels_per_class)}
    changed = {"model": model, "data": data, "repeat": repeat, "seed": trained["seed"]}
    recipe = _parse(document | changed, where)
    if not recipe.tune.target.one_class:
        raise InputError(
            f"{where} must classify, got {recipe.tune.target}. Name another recipe."
        )
    return recipe


def _parse(document: dict[str, Any], where: str) -> Recipe:
    recipe = parse_recipe(document, where)
    if not isinstance(recipe, FinetuneRecipe):
        raise InputError(f"{where} must fine-tune, got task {recipe.task}.")
    return recipe


def measure_finetuned(recipe: Recipe, path: Path) -> Measurements:
    """Train a run for each number of labels, from its last checkpoint if any, and test it.

    path: folder of the pretraining run.
    """
    measurements = {}
    for count in recipe.repeat.labels_per_class:
        folder = path / _FOLDER / f"labels_{count}"
        repeat = recipe.repeat.model_copy(update={"labels_per_class": (count,)})
        single = recipe.model_copy(update={"repeat": repeat})
        train_run(single, folder, source=str(folder))
        measurements[finetuned_name(count)] = _test(folder)
    return measurements


def _test(folder: Path) -> Measurement:
    """Accuracy on the test split."""
    loaded = load_run(str(folder))
    test = with_labels(loaded.wing.open_split(loaded.recipe, "test"))
    progress = progress_bar(f"{folder}, test")
    predicted, labels, _ = predict(loaded.model, test, progress=progress)
    is_right = predicted == truth(test, labels, loaded.manifest["classes"])
    items = is_right.astype(np.float32)
    return Measurement(float(items.mean()), "higher", items)
