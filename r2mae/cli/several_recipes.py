"""`r2mae finetune RECIPE RECIPE ...`: a table of each recipe, and a line for each score of all of them."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from r2mae.cli.finetuning_table import Recipe, check_runs, load_table
from r2mae.cli.training import print_status
from r2mae.errors import InputError
from r2mae.options import run_path
from r2mae.schema.launch import read_launch

Result = dict[str, Any]


def finetune_several(
    arguments: Namespace, finetune: Callable[[Namespace], Result]
) -> Result:
    """Train and test the recipes whose data is on this machine.

    finetune: does one. Returns {"tables": one scores.json for each, "left_out": names of
    recipes without data, "scores": rows, "mean": of their mean scores}. Empty in all
    processes but the first.

    Raises: InputError for options that are of one recipe, and for recipes that cannot be
        trained by one command.
    """
    every = _load_tables(arguments)
    _check(arguments, [recipe for _, recipe in every.values()])
    from r2mae.recipe.assembly import is_data_here

    here = {name: pair for name, pair in every.items() if is_data_here(pair[1])}
    left_out = [name for name in every if name not in here]
    for name in left_out:
        print_status(f"{name}: left out, its data is not on this machine")
    if not here:
        raise InputError(
            f"RECIPE must have data on this machine, got {', '.join(left_out)} without. "
            "Put it where its card looks for it, or set data.root."
        )
    _check_tables(here)
    tables = {name: finetune(one) for name, (one, _) in here.items()}
    if not all(tables.values()):
        return {}
    rows = [row for name in here for row in _rows(name, here[name][1], tables[name])]
    return {
        "tables": tables,
        "left_out": left_out,
        "scores": rows,
        "mean": _mean(rows),
    }


def _load_tables(arguments: Namespace) -> dict[str, tuple[Namespace, Recipe]]:
    """name -> (options with its recipe, the recipe)."""
    every: dict[str, tuple[Namespace, Recipe]] = {}
    for path in (arguments.recipe, *arguments.more):
        one = Namespace(**vars(arguments) | {"recipe": path})
        name = Path(path).stem
        if name.casefold() in map(str.casefold, every):  # one folder on some disks
            raise InputError(f"RECIPE must be given once, got {name} twice.")
        every[name] = (one, load_table(one))
    return every


def _check(arguments: Namespace, recipes: list[Recipe]) -> None:
    for option in ("name", "against"):
        if getattr(arguments, option) is not None:
            raise InputError(
                f"--{option} must be given with one recipe, got {len(recipes)}."
            )
    first = recipes[0].hardware
    if any(recipe.hardware != first for recipe in recipes):
        raise InputError(
            "hardware must be the same in all recipes of one command, got others than "
            f"in {arguments.recipe}. Run them one by one."
        )


def _check_tables(recipes: dict[str, tuple[Namespace, Recipe]]) -> None:
    """Check all data, and the runs that are there, before the first recipe trains."""
    from r2mae.recipe.targets import check_table

    for name, (arguments, recipe) in recipes.items():
        check_table(recipe)
        if read_launch().is_first and not arguments.fresh:
            check_runs(recipe, run_path(name), arguments.recipe)


def _rows(name: str, recipe: Recipe, table: Result) -> list[Result]:
    """A row for each number of labels, split and score."""
    rows = []
    counts = recipe.repeat.labels_per_class
    scores = [row for row in table["scores"] if row["labels_per_class"] in counts]
    for row in scores:
        for split in recipe.tested_splits:
            of_split = row if split == "test" else row[split]
            for metric in recipe.metrics:
                is_usual = metric == recipe.tune.target.scores[0]
                key = "half_width" if is_usual else f"{metric}_half_width"
                rows.append(
                    {
                        "recipe": name,
                        "split": split,
                        "labels_per_class": row["labels_per_class"],
                        "metric": metric,
                        "value": of_split[metric],
                        "half_width": of_split.get(key),
                        "seeds": len(row["seeds"]),
                    }
                )
    return rows


def _mean(rows: list[Result]) -> float | None:
    """Mean over recipes and numbers of labels of the mean of their scores other than errors."""
    groups: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        if row["metric"].endswith("_error"):
            continue
        key = (row["recipe"], row["labels_per_class"])
        groups.setdefault(key, []).append(row["value"])
    means = [sum(values) / len(values) for values in groups.values()]
    return sum(means) / len(means) if means else None


def print_several(result: Result) -> None:
    """A line for each score, and which recipes were left out."""
    print("test scores, mean over seeds ± 95 % interval over test samples and seeds")
    width = max(len(row["recipe"]) for row in result["scores"])
    for row in result["scores"]:
        half_width = row["half_width"]
        interval = "" if half_width is None else f" ± {half_width:.3f}"
        where = "" if row["split"] == "test" else f" on {row['split']}"
        labels = row["labels_per_class"]
        few = "" if labels == "all" else f", {labels} labels per class"
        value = f"{row['value']:.3f}{interval}"
        seeds = f"{row['seeds']} seed{'s' * (row['seeds'] > 1)}"
        about = f"{row['metric']}{where}{few}, {seeds}"
        print(f"  {row['recipe']:{width}}  {value:15}  {about}")
    if result["mean"] is not None:
        print(f"  {'mean':{width}}  {result['mean']:.3f}  over recipes")
    if result["left_out"]:
        names = ", ".join(result["left_out"])
        print(f"left out, as their data is not on this machine: {names}")
