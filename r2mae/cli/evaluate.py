"""`r2mae evaluate`: frozen features of a run against labels, and what its modality measures, on the test split."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from r2mae.cli.arguments import add_run, wing_of_run
from r2mae.errors import InputError
from r2mae.options import label_counts, positive
from r2mae.progress import progress_bar, status_line
from r2mae.wing import LoadedRun, Wing

PROBES = ("knn", "linear_probe")
Row = dict[
    str, Any
]  # labels_per_class, scores {encoder: {task: score}}, differences {"a - b": {task: difference}}
Hits = dict[str, dict[str, Any]]  # {encoder: {task: (draws, M) bool}}


def add_arguments(parser: ArgumentParser) -> None:
    """`RUN` and the options of probes; those of other tasks come from the run's wing."""
    add_run(parser)
    few = "train on N labels a class, or all (default); several give a row each"
    parser.add_argument(
        "--labels-per-class",
        type=label_counts,
        default=[None],
        metavar="N,N,...",
        help=few,
    )
    data = "labelled samples of a fine-tuning recipe, not the run's own"
    parser.add_argument("--data", metavar="RECIPE", help=data)
    parser.add_argument(
        "--label", metavar="COLUMN", help="instead of the recipe's data.label_column"
    )
    parser.add_argument(
        "--draws", type=positive, default=10, help="label draws with --labels-per-class"
    )
    baselines = "also score raw input and the untrained encoder"
    parser.add_argument("--baselines", action="store_true", help=baselines)


def add_run_arguments(parser: ArgumentParser, words: Sequence[str]) -> None:
    """`--task`, with the tasks that the named run has, and their options."""
    wing = wing_of_run(words)
    names = (*PROBES, *(wing.tasks if wing else ()))
    more = "" if wing else "; name a RUN to see what else it can be asked"
    # A task that the run does not have is refused by `run`, which knows the modality.
    task = f"one of {', '.join(names)}{more}"
    parser.add_argument("--task", required=True, metavar="TASK", help=task)
    for name in _asked_tasks(wing, words):
        assert wing is not None
        wing.tasks[name].add_arguments(
            parser.add_argument_group(f"--task {name}", wing.tasks[name].help)
        )  # type: ignore[arg-type]


def _asked_tasks(wing: Wing | None, words: Sequence[str]) -> list[str]:
    """Tasks whose options are parsed: the one that is asked for; all of them for --help."""
    if wing is None:
        return []
    asked = {word.removeprefix("--task=") for word in words}
    named = [name for name in wing.tasks if name in asked]
    return named or [name for name in wing.tasks if {"-h", "--help"} & set(words)]


def run(arguments: Namespace) -> None:
    """Score, and print a table or JSON."""
    from r2mae.recipe.run import load_run

    loaded, name = load_run(arguments.run, arguments.checkpoint), arguments.task
    tasks = (*PROBES, *loaded.wing.tasks)
    if name not in tasks:
        raise InputError(
            f"--task must be one of {', '.join(tasks)} for runs on {loaded.recipe.modality}, got {name!r}."
        )
    recipe = (
        loaded.recipe if arguments.data is None else _labelled(loaded, arguments.data)
    )
    about = {
        "run": arguments.run,
        "checkpoint_step": loaded.manifest["step"],
        "task": name,
    }
    if name in loaded.wing.tasks:
        return _run_task(loaded, recipe, arguments, about)
    rows = score(loaded, _with_label(recipe, arguments.label), [name], arguments)
    if not arguments.json:
        return print_scores(rows)
    plain = [
        row | {part: _only(row[part], name) for part in ("scores", "differences")}
        for row in rows
    ]
    several = {
        "labels_per_class": [row["labels_per_class"] for row in rows],
        "rows": plain,
    }
    print(
        json.dumps(
            about | {"split": "test"} | (plain[0] if len(plain) == 1 else several)
        )
    )
    return None


def _run_task(
    loaded: LoadedRun, recipe: Any, arguments: Namespace, about: dict[str, Any]
) -> None:
    """A task of the run's wing."""
    task = loaded.wing.tasks[arguments.task]
    result = task.run(loaded, _with_label(recipe, arguments.label), arguments)
    print(json.dumps(about | result)) if arguments.json else task.show(result)


def _only(encoders: dict[str, Any], task: str) -> dict[str, Any]:
    return {name: tasks[task] for name, tasks in encoders.items()}


def _with_label(recipe: Any, column: str | None) -> Any:
    """The recipe with another column of labels."""
    if column is None or not hasattr(recipe.data, "label_column"):
        return recipe
    data = recipe.data.model_copy(update={"label_column": column})
    return recipe.model_copy(update={"data": data})


def _labelled(loaded: LoadedRun, path: str) -> Any:
    """A fine-tuning recipe whose samples are read as the run reads its own: by its tokenizer or genes."""
    from r2mae.recipe.load import load_recipe

    recipe = load_recipe(path, [], task="finetune")
    if recipe.modality != loaded.recipe.modality:
        raise InputError(
            f"--data must be a recipe on {loaded.recipe.modality}, as the run is, got {recipe.modality}."
        )
    loaded.wing.check_same_input(loaded, recipe)
    bare = recipe.model_copy(
        update={"model": recipe.model.model_copy(update={"init_from": None})}
    )
    return loaded.wing.with_checkpoint_facts(bare, loaded.manifest)


def score(
    loaded: LoadedRun, recipe: Any, tasks: list[Any], arguments: Namespace
) -> list[Row]:
    """A row for each number of labels (None: all), train to test split of the recipe's data.

    With baselines, the row has paired differences from the trained encoder to each of them.
    """
    import numpy as np

    from r2mae.data.source import with_labels
    from r2mae.evaluation.compared import compared_encoders
    from r2mae.evaluation.features import (
        LabelledFeatures,
        check_classes,
        extract_labelled,
        require_labels,
    )
    from r2mae.evaluation.probe import probe_hits
    from r2mae.metrics.few_label import few_label_draws
    from r2mae.recipe.assembly import open_split

    labels_per_class, draws = arguments.labels_per_class, arguments.draws
    train, test = (
        with_labels(open_split(recipe, "train")),
        with_labels(open_split(recipe, "test")),
    )
    check_classes(train, test)
    labels, names = require_labels(train), train.class_names
    found = [
        None if few is None else few_label_draws(labels, few, draws, 0, names)
        for few in labels_per_class
    ]
    # Only what is drawn is embedded.
    chosen = (
        np.arange(len(train))
        if None in found
        else np.unique(np.concatenate([draw for few in found for draw in few or ()]))
    )
    hits: list[Hits] = [{} for _ in found]
    for name, model, kind in compared_encoders(loaded, arguments.baselines):
        known = extract_labelled(
            model, train, chosen, kind=kind, progress=progress_bar(f"{name}, train")
        )
        asked = extract_labelled(
            model, test, kind=kind, progress=progress_bar(f"{name}, test")
        )
        if kind == "baseline":
            first, second = loaded.wing.baseline_features(
                known.features, asked.features
            )
            known, asked = (
                LabelledFeatures(first, known.labels),
                LabelledFeatures(second, asked.labels),
            )
        for row, few in zip(hits, found, strict=True):
            rows = (
                None if few is None else [np.searchsorted(chosen, draw) for draw in few]
            )
            row[name] = {}
            for task in tasks:
                with status_line(f"{name}, {task}") as say:
                    row[name][task] = probe_hits(
                        task, known, asked, draws=rows, status=say
                    )
    return [_row(few, row) for few, row in zip(labels_per_class, hits, strict=True)]


def _row(labels_per_class: int | None, hits: Hits) -> Row:
    """Scores of all encoders, and differences from the first one to each other."""
    from r2mae.evaluation.probe import compare, summarize

    (first, ours), *others = hits.items()
    scores = {
        name: {task: summarize(found).to_dict() for task, found in tasks.items()}
        for name, tasks in hits.items()
    }
    differences = {
        f"{first} - {name}": {
            task: compare(ours[task], found).to_dict() for task, found in tasks.items()
        }
        for name, tasks in others
    }
    return {
        "labels_per_class": labels_per_class or "all",
        "scores": scores,
        "differences": differences,
    }


def print_scores(rows: list[Row]) -> None:
    """A table with a line for each number of labels and task."""
    columns = [*rows[0]["scores"], *rows[0]["differences"]]
    print("test accuracy ± 95 % interval; differences are paired")
    table = [["labels a class", "task", *columns, "interval over"]]
    for row in rows:
        cells = row["scores"] | row["differences"]
        for task, first in row["scores"]["pretrained"].items():
            over = (
                f"{first['draws']} draws" if first["over"] == "draws" else "test items"
            )
            numbers = [_cell(cells[name][task]) for name in columns]
            table.append([str(row["labels_per_class"]), task, *numbers, over])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print(
            "  ".join(
                f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)
            ).rstrip()
        )


def _cell(found: dict[str, Any]) -> str:
    number = (
        f"{found['difference']:+.3f}"
        if "difference" in found
        else f"{found['accuracy']:.3f}"
    )
    return (
        number
        if found["half_width"] is None
        else f"{number} ± {found['half_width']:.3f}"
    )
