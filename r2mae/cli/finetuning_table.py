"""The table of a fine-tuning recipe: a run for each seed and number of labels, and what each scored.

runs/<name>/labels_<count>/seed_<seed>/   a run folder like any other
runs/<name>/scores.json                   a row for each number of labels
"""

import json
import sys
from pathlib import Path
from typing import Any

from r2mae.errors import InputError
from r2mae.schema.finetune import FinetuneRecipe

Recipe = FinetuneRecipe[Any, Any]
PREDICTIONS = "test_predictions.npy"  # (2, N) predicted and true classes or numbers


def check_folder(table: Any) -> None:
    """Raise InputError for a folder with anything other than fine-tuning runs."""
    remedy = "Choose another --name."
    if table.exists:
        raise InputError(
            f"{table.path} must hold fine-tuning runs, got a pretraining run. {remedy}"
        )
    is_filled = table.path.exists() and any(table.path.iterdir())
    if is_filled and not any(table.path.glob("labels_*")):
        raise InputError(
            f"{table.path} must hold fine-tuning runs or be absent, got other files. {remedy}"
        )


def earlier_rows(table: Path, recipe: Recipe) -> list[dict[str, Any]]:
    """Rows of scores.json for numbers of labels that this command does not train; they are kept."""
    file = table / "scores.json"
    rows = json.loads(file.read_text())["scores"] if file.is_file() else []
    counts = recipe.repeat.labels_per_class
    # Rows without half_width were written by older versions, and are dropped.
    return [
        row
        for row in rows
        if row["labels_per_class"] not in counts and "half_width" in row
    ]


def single_run(
    recipe: Recipe, table: Path, count: int | str, number: int
) -> tuple[Recipe, Path]:
    """(recipe, folder) of one run of the table: one seed and number of labels per class."""
    repeat = recipe.repeat.model_copy(update={"seeds": 1, "labels_per_class": (count,)})
    seed = recipe.seed + number
    single = recipe.model_copy(update={"seed": seed, "repeat": repeat})
    return single, table / f"labels_{count}" / f"seed_{seed}"


def score_once(path: Path) -> list[str]:
    """Predict the test split with a finished run, unless that was done before; returns its class names.

    Writes test_predictions.npy, and the scores into run.json.
    """
    import numpy as np

    from r2mae.data.source import with_labels
    from r2mae.evaluation.classification import class_scores, predict, truth
    from r2mae.evaluation.regression import correlations, predict_numbers
    from r2mae.progress import progress_bar
    from r2mae.recipe.run import load_run

    loaded = load_run(str(path))
    class_names: list[str] = loaded.manifest["class_names"]
    if "test" in loaded.folder.read_status() and (path / PREDICTIONS).is_file():
        return class_names
    test = with_labels(loaded.wing.open_split(loaded.recipe, "test"))
    progress = progress_bar(f"{path}, test")
    target = loaded.manifest.get("target")
    if target is not None:
        numbers, true_numbers = predict_numbers(
            loaded.model, test, target, progress=progress
        )
        np.save(path / PREDICTIONS, np.stack([numbers, true_numbers]))
        loaded.folder.write_status(test=correlations(numbers, true_numbers))
        return []
    predicted, labels, skipped = predict(loaded.model, test, progress=progress)
    expected = truth(test, labels, loaded.manifest["classes"])
    if skipped:
        count = f"{len(skipped)} unreadable test samples"
        print(f"{path}: skipped {count}, such as {min(skipped)}", file=sys.stderr)
    np.save(path / PREDICTIONS, np.stack([predicted, expected]))
    loaded.folder.write_status(test=class_scores(predicted, expected))
    return class_names


def summarize_runs(
    paths: list[Path], against: str | None, table: Path
) -> dict[str, Any]:
    """Scores of one number of labels, over its seeds; with `against`, paired differences from that table."""
    import numpy as np

    from r2mae.evaluation import classification, regression

    predictions, expected = _load_predictions(paths)
    if expected is None:
        raise InputError(
            "the test split must be the same for all seeds, "
            f"got others in {paths[0].parent}. Restore it."
        )
    metrics: Any = regression if expected.dtype == np.float64 else classification
    row: dict[str, Any] = metrics.summarize(predictions, expected).to_dict()
    row["runs"] = [str(path) for path in paths]
    if against is None:
        return row
    other_paths = [Path(against) / path.relative_to(table) for path in paths]
    others, others_expected = _load_predictions(other_paths)
    if others_expected is None or not np.array_equal(others_expected, expected):
        raise InputError(
            f"--against must have been tested on the same samples, got {against}."
        )
    difference = metrics.compare(predictions, others, expected)
    return row | {"against": {"table": against, **difference}}


def _load_predictions(paths: list[Path]) -> tuple[list[Any], Any]:
    """(predictions (N,) of each run, true values (N,)), None for the latter if runs differ."""
    import numpy as np

    saved = [np.load(path / PREDICTIONS) for path in paths]
    predictions = [predicted for predicted, _ in saved]
    expected = saved[0][1]
    if all(np.array_equal(true_values, expected) for _, true_values in saved):
        return predictions, expected
    return predictions, None


def check_against(recipe: Recipe, against: str) -> None:
    """Raise InputError unless that table was tested for every seed and number of labels of the recipe."""
    for count in recipe.repeat.labels_per_class:
        for number in range(recipe.repeat.seeds):
            _, path = single_run(recipe, Path(against), count, number)
            if not (path / PREDICTIONS).is_file():
                raise InputError(
                    f"--against must hold the same seeds and labels, got no {path / PREDICTIONS}."
                )
