"""The table of a fine-tuning recipe: a run for each seed and number of labels, and what each scored.

runs/<name>/labels_<count>/seed_<seed>/   a run folder like any other
runs/<name>/scores.json                   a row for each number of labels
"""

import json
import sys
from argparse import Namespace
from datetime import timedelta
from pathlib import Path
from typing import Any

from r2mae.errors import InputError
from r2mae.recipe.load import load_recipe
from r2mae.schema.finetune import FinetuneRecipe

Recipe = FinetuneRecipe[Any, Any]
# (2, N) predicted and true classes or numbers; (2, N, C) probabilities and labels;
# (2, S, 3) counts of a tagger's sentences; (2, Q, 2) scores of answers, facts about questions.
PREDICTIONS = "test_predictions.npy"
TESTED = "tested_on"  # in run.json: {split: fingerprint of its data}


def predictions_file(split: str) -> str:
    """Name of the file with the predictions of a split, in a run's folder."""
    return f"{split}_predictions.npy"


def load_table(arguments: Namespace) -> Recipe:
    """The recipe, with the overrides of --seeds and --labels-per-class."""
    overrides = [*arguments.set]
    if arguments.seeds is not None:
        overrides.append(f"repeat.seeds={arguments.seeds}")
    if arguments.labels_per_class is not None:
        overrides.append(f"repeat.labels_per_class=[{arguments.labels_per_class}]")
    recipe = load_recipe(arguments.recipe, overrides, task="finetune")
    assert isinstance(recipe, FinetuneRecipe)
    return recipe


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


def check_runs(recipe: Recipe, table: Path, source: str) -> None:
    """Raise InputError if a run of the table has another recipe, or was trained or tested on other data.

    Its scores would be printed as those of the data that is there now, or averaged with them.

    source: name of the recipe in messages.
    """
    from r2mae.recipe.assembly import open_split
    from r2mae.recipe.train import check_run
    from r2mae.training.checkpoint import read_manifest
    from r2mae.training.run_folder import RunFolder

    splits = ("train", *recipe.tested_splits)
    current = {split: open_split(recipe, split).fingerprint for split in splits}
    for single, path in every_run(recipe, table):
        folder = RunFolder(path)
        check_run(single, folder, source)
        checkpoint = folder.pointer("last")
        if checkpoint is None:
            continue
        earlier = {"train": read_manifest(checkpoint)["data"]["fingerprint"]}
        earlier |= folder.read_status().get(TESTED, {})
        for split in splits:
            if earlier.get(split, current[split]) != current[split]:
                use = "trained" if split == "train" else "tested"
                raise InputError(
                    f"the {split} split must be that of {path}, which was {use} before, got other "
                    "data. Restore it, choose another --name, or --fresh to start over beside it."
                )


def every_run(recipe: Recipe, table: Path) -> list[tuple[Recipe, Path]]:
    """(recipe, folder) of all runs of a recipe's table."""
    return [
        single_run(recipe, table, count, number)
        for count in recipe.repeat.labels_per_class
        for number in range(recipe.repeat.seeds)
    ]


def earlier_rows(table: Path, recipe: Recipe) -> list[dict[str, Any]]:
    """Rows of scores.json for numbers of labels that this command does not train; they are kept.

    Raises: InputError for a damaged file.
    """
    file = table / "scores.json"
    counts = recipe.repeat.labels_per_class
    # Rows without half_width were written by older versions, and are dropped.
    shown = {"half_width", "seeds", recipe.tune.target.scores[0]}
    try:
        rows = json.loads(file.read_text())["scores"] if file.is_file() else []
        return [
            row
            for row in rows
            if row["labels_per_class"] not in counts and shown <= row.keys()
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{file} must hold scores of runs, got other content. Delete it: finished runs "
            "are not trained again."
        ) from None


def single_run(
    recipe: Recipe, table: Path, count: int | str, number: int
) -> tuple[Recipe, Path]:
    """(recipe, folder) of one run of the table: one seed and number of labels per class."""
    repeat = recipe.repeat.model_copy(update={"seeds": 1, "labels_per_class": (count,)})
    seed = recipe.seed + number
    single = recipe.model_copy(update={"seed": seed, "repeat": repeat})
    return single, table / f"labels_{count}" / f"seed_{seed}"


def score_once(path: Path, timeout_seconds: float) -> list[str]:
    """Predict the test splits with a finished run, unless that was done before; returns its class names.

    All ranks call it, and share the samples where training has connected them; the first
    process writes <split>_predictions.npy, and the scores into run.json.
    """
    from r2mae.evaluation.inference import inference
    from r2mae.evaluation.shared_batches import of_first_rank, rank_group
    from r2mae.recipe.run import load_run
    from r2mae.recipe.trainer import is_first_process

    writes = is_first_process()
    with rank_group(timedelta(seconds=timeout_seconds)) as group:
        if group is None and not writes:
            return []
        # Only the first process knows when the run's files are complete.
        loaded = load_run(str(path)) if writes else None
        untested = of_first_rank(loaded and _untested(loaded), group)
        loaded = loaded or load_run(str(path))
        recipe: Any = loaded.recipe
        with inference(recipe.hardware, group=group):
            for split in untested:
                _score(loaded, split, writes)
    has_classes = recipe.tune.target.has_classes
    return list(loaded.manifest["class_names"]) if has_classes else []


def _untested(loaded: Any) -> list[str]:
    """The test splits that a run has not predicted yet."""
    status, path = loaded.folder.read_status(), loaded.folder.path
    return [
        split
        for split in loaded.recipe.tested_splits
        if _score_key(split) not in status
        or not (path / predictions_file(split)).is_file()
    ]


def _score_key(split: str) -> str:
    """Where run.json has the scores of a split."""
    return "test" if split == "test" else f"test_{split}"


def _score(loaded: Any, split: str, writes: bool) -> None:
    """Predict a test split with a run; the process that writes scores and saves."""
    import numpy as np

    from r2mae.data.source import with_labels
    from r2mae.progress import progress_bar
    from r2mae.recipe.targets import task_of

    folder, task = loaded.folder, task_of(loaded.recipe)
    test = with_labels(loaded.wing.open_split(loaded.recipe, split))
    progress = progress_bar(f"{folder.path}, {split}") if writes else None
    predicted, expected, skipped = task.predict(loaded, test, progress)
    if not writes:
        return
    if skipped:
        count = f"{len(skipped)} unreadable test samples"
        text = f"{folder.path}: skipped {count}, such as {min(skipped)}"
        print(text, file=sys.stderr)
    np.save(folder.path / predictions_file(split), np.stack([predicted, expected]))
    tested = folder.read_status().get(TESTED, {}) | {split: test.fingerprint}
    scores = task.metrics.score(predicted, expected)
    folder.write_status(**{_score_key(split): scores, TESTED: tested})


def summarize_runs(
    recipe: Recipe, paths: list[Path], against: str | None, table: Path
) -> dict[str, Any]:
    """Scores of one number of labels, over its seeds; with `against`, paired differences from that table."""
    import numpy as np

    from r2mae.recipe.targets import task_of

    predictions, expected = _load_predictions(paths)
    if expected is None:
        raise InputError(
            "the test split must be the same for all seeds, "
            f"got others in {paths[0].parent}. Restore it."
        )
    metrics = task_of(recipe).metrics
    row: dict[str, Any] = metrics.summarize(predictions, expected)
    row["runs"] = [str(path) for path in paths]
    for split in recipe.tested_splits[1:]:
        row[split] = metrics.summarize(*_load_predictions(paths, split))
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


def _load_predictions(paths: list[Path], split: str = "test") -> tuple[list[Any], Any]:
    """(predictions (N,) of each run, true values (N,)), None for the latter if runs differ."""
    import numpy as np

    saved = [read_predictions(path / predictions_file(split)) for path in paths]
    predictions = [predicted for predicted, _ in saved]
    expected = saved[0][1]
    if all(np.array_equal(true_values, expected) for _, true_values in saved):
        return predictions, expected
    return predictions, None


def read_predictions(file: Path) -> tuple[Any, Any]:
    """(predictions, true values) of a file. Raises: InputError for a damaged one."""
    import numpy as np

    try:
        predicted, expected = np.load(file)
    except (ValueError, EOFError, TypeError):
        raise InputError(
            f"{file} must hold predictions and true values, got a damaged file. Delete it: "
            "a finished run predicts again."
        ) from None
    return predicted, expected


def check_against(recipe: Recipe, against: str) -> None:
    """Raise InputError unless that table was tested for every seed and number of labels of the recipe.

    Also where it predicts something else; whether the samples are the same is known after training.
    """
    from r2mae.recipe.load import parse_recipe
    from r2mae.training.checkpoint import read_manifest
    from r2mae.training.run_folder import open_run

    for _, path in every_run(recipe, Path(against)):
        if not (path / PREDICTIONS).is_file():
            raise InputError(
                f"--against must hold the same seeds and labels, got no {path / PREDICTIONS}."
            )
        read_predictions(path / PREDICTIONS)
        checkpoint = open_run(str(path)).pointer("last")
        assert checkpoint is not None
        other: Any = parse_recipe(read_manifest(checkpoint)["recipe"], str(path))
        name, target = other.tune.target.name, recipe.tune.target
        if name != target.name:
            raise InputError(
                f"--against must predict what the recipe does, {target}, "
                f"got {name} in {against}."
            )
