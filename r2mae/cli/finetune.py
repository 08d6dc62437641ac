"""`r2mae finetune`: a classifier on an encoder, one a seed and number of labels, each tested once."""

import argparse
import json
from pathlib import Path
from typing import Any

from r2mae.cli.arguments import add_recipe, add_training
from r2mae.cli.training import run_path, tell, train_run
from r2mae.errors import InputError
from r2mae.options import positive
from r2mae.recipe.load import load_recipe
from r2mae.schema.finetune import FinetuneRecipe
from r2mae.schema.launch import read_launch

Recipe = FinetuneRecipe[Any, Any]
_PREDICTIONS = "test_predictions.npy"
# What is printed of a row, the one with intervals first.
_SHOWN = {
    "accuracy": (
        ("accuracy", "accuracy"),
        ("macro_f1", "macro F1"),
        ("matthews", "Matthews"),
    ),
    "pearson": (
        ("pearson", "Pearson correlation"),
        ("spearman", "Spearman"),
        ("squared_error", "squared error"),
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`RECIPE` and what is repeated."""
    add_recipe(parser)
    add_training(parser)
    parser.add_argument(
        "--seeds",
        type=positive,
        metavar="N",
        help="runs with N seeds; overrides repeat.seeds",
    )
    few = "few-label runs; overrides repeat.labels_per_class"
    parser.add_argument("--labels-per-class", metavar="N,N,all", help=few)
    parser.add_argument(
        "--against",
        metavar="TABLE",
        help="paired differences from another folder of the same runs",
    )


def run(arguments: argparse.Namespace) -> None:
    """Train what is left of the table, score it, print it."""
    result = finetune(arguments)
    if result:  # of the first process
        print(json.dumps(result)) if arguments.json else _print(result)


def finetune(arguments: argparse.Namespace) -> dict[str, Any]:
    """All runs of a recipe; gives {"run", "split", "scores": [a row a number of labels]}, as in its scores.json.

    Raises: InputError for bad recipes, data or folders; InterruptedRun after a signal.
    """
    overrides = [*arguments.set]
    if arguments.seeds is not None:
        overrides.append(f"repeat.seeds={arguments.seeds}")
    if arguments.labels_per_class is not None:
        overrides.append(f"repeat.labels_per_class=[{arguments.labels_per_class}]")
    recipe = load_recipe(arguments.recipe, overrides, task="finetune")
    assert isinstance(recipe, FinetuneRecipe)
    from r2mae.data.source import root_of
    from r2mae.recipe.assembly import open_split
    from r2mae.recipe.tasks import check_table
    from r2mae.recipe.trainer import is_first_process
    from r2mae.training.checkpoint import write_atomic
    from r2mae.training.run_folder import RunFolder

    table, writes = (
        RunFolder(run_path(arguments.name or Path(arguments.recipe).stem)),
        is_first_process(),
    )
    fresh = arguments.fresh and not read_launch().restarted
    if writes:
        _check_table_folder(table)
    check_table(recipe)
    if arguments.against is not None:
        check_against(recipe, arguments.against)
    if fresh and writes:
        table.set_aside()
    rows, names = _earlier_rows(table.path, recipe), []
    train = root_of(open_split(recipe, "train")) if writes else None
    if note := getattr(train, "note", ""):
        tell(writes, f"{table.path}: left out {note}")
    for count in recipe.repeat.labels_per_class:
        runs = [
            single_run(recipe, table.path, count, seed)
            for seed in range(recipe.repeat.seeds)
        ]
        for single, path in runs:
            train_run(
                single, path, arguments, fresh=fresh and not writes
            )  # the first set all aside
            if writes:
                names = score_once(path)
        if writes:
            rows.append(
                {
                    "labels_per_class": count,
                    **_row([path for _, path in runs], arguments.against, table.path),
                }
            )
            about = {
                "run": str(table.path),
                "split": "test",
                "init_from": recipe.model.init_from,
                "classes": names,
            }
            left_out = getattr(train, "left_out", None)
            about |= (
                {} if left_out is None else {"in_test_too": left_out}
            )  # training samples that were left out
            result = about | {"scores": rows}
            write_atomic(
                table.path / "scores.json", json.dumps(result, indent=1) + "\n"
            )
    tell(writes, f"{table.path}: scores.json holds what follows")
    return result if writes else {}


def _check_table_folder(table: Any) -> None:
    """Raise InputError for a folder that holds something else than fine-tuning runs."""
    if table.exists:
        raise InputError(
            f"{table.path} must hold fine-tuning runs, got a pretraining run. Choose another --name."
        )
    if (
        table.path.exists()
        and any(table.path.iterdir())
        and not any(table.path.glob("labels_*"))
    ):
        raise InputError(
            f"{table.path} must hold fine-tuning runs or be absent, got other files. Choose another --name."
        )


def _earlier_rows(table: Path, recipe: Recipe) -> list[dict[str, Any]]:
    """Rows of scores.json with numbers of labels that are not asked for now: they stay."""
    file = table / "scores.json"
    rows = json.loads(file.read_text())["scores"] if file.is_file() else []
    return [
        row
        for row in rows
        if row["labels_per_class"] not in recipe.repeat.labels_per_class
    ]


def single_run(
    recipe: Recipe, table: Path, count: int | str, number: int
) -> tuple[Recipe, Path]:
    """(recipe, folder) of one cell of the table: one seed, one number of labels a class."""
    repeat = recipe.repeat.model_copy(update={"seeds": 1, "labels_per_class": (count,)})
    seed = recipe.seed + number
    return recipe.model_copy(
        update={"seed": seed, "repeat": repeat}
    ), table / f"labels_{count}" / f"seed_{seed}"


def score_once(path: Path) -> list[str]:
    """Predict the test split with a finished run, unless that was done before; gives the names of its classes.

    Writes test_predictions.npy, (2, N) predicted and true classes or numbers, and the scores into run.json.
    """
    import numpy as np

    from r2mae.data.source import with_labels
    from r2mae.evaluation.classification import accuracy_and_f1, predict, truth
    from r2mae.evaluation.regression import correlations, predict_numbers
    from r2mae.progress import progress_bar
    from r2mae.recipe.assembly import open_split
    from r2mae.recipe.run import load_run

    loaded = load_run(str(path))
    names: list[str] = loaded.manifest["class_names"]
    if "test" in loaded.folder.read_status() and (path / _PREDICTIONS).is_file():
        return names
    source, progress = (
        with_labels(open_split(loaded.recipe, "test")),
        progress_bar(f"{path}, test"),
    )
    if (target := loaded.manifest.get("target")) is not None:
        numbers, wanted = predict_numbers(
            loaded.model, source, target, progress=progress
        )
        np.save(path / _PREDICTIONS, np.stack([numbers, wanted]))
        loaded.folder.write_status(test=correlations(numbers, wanted))
        return []
    predicted, labels, skipped = predict(loaded.model, source, progress=progress)
    expected = truth(source, labels, loaded.manifest["classes"])
    if skipped:
        tell(
            True,
            f"{path}: skipped {len(skipped)} unreadable test samples, such as {min(skipped)}",
        )
    np.save(path / _PREDICTIONS, np.stack([predicted, expected]))
    loaded.folder.write_status(test=accuracy_and_f1(predicted, expected))
    return names


def _row(paths: list[Path], against: str | None, table: Path) -> dict[str, Any]:
    """Scores of one number of labels; with `against`, differences from the same runs of that table."""
    import numpy as np

    from r2mae.evaluation import classification, regression

    saved = [np.load(path / _PREDICTIONS) for path in paths]
    expected, predictions = saved[0][1], [predicted for predicted, _ in saved]
    if any(not np.array_equal(truth, expected) for _, truth in saved):
        raise InputError(
            f"the test split must be the same for all seeds, got others in {paths[0].parent}. Restore it."
        )
    kind: Any = regression if expected.dtype == np.float64 else classification
    row: dict[str, Any] = kind.summarize(predictions, expected).to_dict() | {
        "runs": [*map(str, paths)]
    }
    if against is None:
        return row
    others = [
        np.load(Path(against) / path.relative_to(table) / _PREDICTIONS)
        for path in paths
    ]
    if any(not np.array_equal(truth, expected) for _, truth in others):
        raise InputError(
            f"--against must have been tested on the same samples, got {against}."
        )
    difference = kind.compare(
        predictions, [predicted for predicted, _ in others], expected
    )
    return row | {"against": {"table": against, **difference}}


def check_against(recipe: Recipe, against: str) -> None:
    """Raise InputError unless that table has been tested for every seed and number of labels of the recipe."""
    for count in recipe.repeat.labels_per_class:
        for number in range(recipe.repeat.seeds):
            _, path = single_run(recipe, Path(against), count, number)
            if not (path / _PREDICTIONS).is_file():
                raise InputError(
                    f"--against must hold the same seeds and labels, got no {path / _PREDICTIONS}."
                )


def _print(result: dict[str, Any]) -> None:
    source = "scratch" if result["init_from"] is None else result["init_from"]
    first, *others = _SHOWN[
        "pearson" if "pearson" in result["scores"][0] else "accuracy"
    ]
    print(f"test {first[1]} from {source}, mean over seeds, with 95 % half-widths")
    if result.get("in_test_too"):
        print(
            f"  {result['in_test_too']:,} training samples were left out, which the test split holds too"
        )
    for row in result["scores"]:
        count, many = row["labels_per_class"], len(row["seeds"])
        more = "".join(
            f", {word} {row[name]:.3f}{_spread(row, name + '_')}"
            for name, word in others
        )
        shown = (
            f"{row[first[0]]:.3f}{_spread(row)}{more}, {many} seed{'s' * (many > 1)}"
        )
        print(
            f"  {count!s:>6} labels a class  {shown}"
            if first[0] == "accuracy"
            else f"  {shown}"
        )
        if (other := row.get("against")) is not None:
            print(
                f"  {'minus ' + other['table']:>28}  {other['difference']:+.3f}{_spread(other)}, paired"
            )


def _spread(found: dict[str, Any], of: str = "") -> str:
    words = {f"{of}over_seeds": "seeds", f"{of}over_items": "test items"}
    return "".join(
        f" ± {found[name]:.3f} ({word})"
        for name, word in words.items()
        if found.get(name) is not None
    )
