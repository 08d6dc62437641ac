"""`r2mae finetune`: train an encoder on labels, once for each seed and number of labels, and test each run."""

import argparse
from pathlib import Path
from typing import Any

from r2mae.cli.arguments import add_recipe, add_training
from r2mae.cli.finetuning_table import (
    Recipe,
    check_against,
    check_folder,
    check_runs,
    earlier_rows,
    every_run,
    load_table,
    score_once,
    single_run,
    summarize_runs,
)
from r2mae.cli.several_recipes import finetune_several, print_several
from r2mae.cli.training import print_status, train_run
from r2mae.json_text import json_text
from r2mae.options import positive, run_path
from r2mae.schema.launch import read_launch
from r2mae.schema.target import TARGETS

_PERSONS = ("matthews", "pearson", "spearman")  # whose names scores have


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`RECIPE ...`, `--seeds`, `--labels-per-class` and `--against`."""
    add_recipe(parser)
    more = "further recipes, for a table over all; those without data are left out"
    parser.add_argument("more", nargs="*", metavar="RECIPE", help=more)
    add_training(parser)
    parser.add_argument(
        "--seeds",
        type=positive,
        metavar="N",
        help="number of seeds; overrides repeat.seeds",
    )
    few = "labels per class of each run, or all; overrides repeat.labels_per_class"
    parser.add_argument("--labels-per-class", metavar="N,N,all", help=few)
    parser.add_argument(
        "--against",
        metavar="TABLE",
        help="also print paired differences from this folder of fine-tuning runs",
    )


def run(arguments: argparse.Namespace) -> None:
    """Train the unfinished runs, then score and print all."""
    from r2mae.training.kept_signals import keep_signals

    with keep_signals():
        result = run_recipes(arguments)
    if result:  # of the first process
        show = print_several if arguments.more else _print
        print(json_text(result)) if arguments.json else show(result)


def run_recipes(arguments: argparse.Namespace) -> dict[str, Any]:
    """`finetune`, or `finetune_several` where several recipes are given."""
    if arguments.more:
        return finetune_several(arguments, finetune)
    return finetune(arguments)


def finetune(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train and test all runs of a recipe; returns the content of scores.json.

    That is {"run", "split", "scores": [one row for each number of labels], ...}. Empty in all processes but the first.

    Raises: InputError for bad recipes, data or folders; InterruptedRun after a signal.
    """
    recipe = load_table(arguments)
    from r2mae.recipe.targets import check_table
    from r2mae.recipe.trainer import is_first_process
    from r2mae.training.run_folder import RunFolder

    table = RunFolder(run_path(arguments.name or Path(arguments.recipe).stem))
    writes = is_first_process()
    fresh = arguments.fresh and not read_launch().restarted
    if writes:
        check_folder(table)
    check_table(recipe)
    if writes and not fresh:
        check_runs(recipe, table.path, str(arguments.recipe))
    if arguments.against is not None:
        check_against(recipe, arguments.against)
    if fresh and writes:
        table.set_aside()
    result: dict[str, Any] = {}
    rows = earlier_rows(table.path, recipe)
    left_out = _left_out(recipe, table.path) if writes else {}
    for count in recipe.repeat.labels_per_class:
        # The first process has renamed all earlier runs already.
        paths = _train_seeds(recipe, table.path, count, arguments, fresh and not writes)
        timeout = recipe.hardware.timeout_seconds
        class_names = [score_once(path, timeout) for path in paths][-1]
        if writes:
            scores = summarize_runs(recipe, paths, arguments.against, table.path)
            rows.append({"labels_per_class": count, **scores})
            result = _write_scores(table.path, recipe, class_names, left_out, rows)
    if writes:
        print_status(f"{table.path}/scores.json: written")
    return result


def _train_seeds(
    recipe: Recipe,
    table: Path,
    count: int | str,
    arguments: argparse.Namespace,
    fresh: bool,
) -> list[Path]:
    """Train every seed with one number of labels; returns the run folders."""
    paths = []
    alone = not arguments.more and len(every_run(recipe, table)) == 1
    for number in range(recipe.repeat.seeds):
        single, path = single_run(recipe, table, count, number)
        train_run(single, path, arguments, fresh=fresh, alone=alone)
        paths.append(path)
    return paths


def _left_out(recipe: Recipe, table: Path) -> dict[str, int]:
    """{"in_test_too": n} training samples that the test split has too, if the source counts them."""
    from r2mae.data.source import root_of
    from r2mae.recipe.assembly import open_split

    train = root_of(open_split(recipe, "train"))
    if note := getattr(train, "note", ""):
        print_status(f"{table}: left out {note}")
    count = getattr(train, "left_out", None)
    return {} if count is None else {"in_test_too": count}


def _write_scores(
    table: Path,
    recipe: Recipe,
    class_names: list[str],
    left_out: dict[str, int],
    rows: list[dict[str, Any]],
) -> dict[str, Any]:
    """Write scores.json with all rows so far; returns its content."""
    from r2mae.data.atomic import write_atomic

    result = {
        "run": str(table),
        "split": "test",
        "target": recipe.tune.target.name,
        "init_from": recipe.model.init_from,
        "classes": class_names,
        **left_out,
        "scores": rows,
    }
    write_atomic(table / "scores.json", json_text(result, indent=1) + "\n")
    return result


def _print(result: dict[str, Any]) -> None:
    source = "scratch" if result["init_from"] is None else result["init_from"]
    target = TARGETS[result["target"]]
    name, *others = target.scores
    print(
        f"test {_title(name)} of {target} from {source}, mean over seeds "
        "± 95 % interval over test samples and seeds"
    )
    if result.get("in_test_too"):
        count = f"{result['in_test_too']:,} training samples"
        print(f"  {count} were left out because the test split has them too")
    for row in result["scores"]:
        seeds = len(row["seeds"])
        parts = [f"{row[name]:.3f}{_plus_minus(row['half_width'])}"]
        for other in others:
            if row.get(other) is not None:
                half_width = _plus_minus(row.get(f"{other}_half_width"))
                parts.append(f"{_title(other)} {row[other]:.3f}{half_width}")
        parts.append(f"{seeds} seed{'s' * (seeds > 1)}")
        labels = ""
        if target.one_class:
            labels = f"{row['labels_per_class']!s:>6} labels per class  "
        print(f"  {labels}{', '.join(parts)}")
        if (against := row.get("against")) is not None:
            difference = (
                f"{against['difference']:+.3f}{_plus_minus(against['half_width'])}"
            )
            print(f"  {'minus ' + against['table']:>28}  {difference}, paired")


def _title(score: str) -> str:
    """`macro F1` of macro_f1, and `Pearson` of pearson."""
    words = score.replace("_", " ").replace("f1", "F1")
    return words.capitalize() if score in _PERSONS else words


def _plus_minus(half_width: float | None) -> str:
    """` ± 0.010`; nothing where it is undefined."""
    return "" if half_width is None else f" ± {half_width:.3f}"
