"""`r2mae evaluate`: probes of a run's frozen features, and tasks of its modality, on the test split."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r2mae.cli.arguments import add_run, wing_of_run
from r2mae.errors import InputError
from r2mae.options import label_counts, positive
from r2mae.wing import LoadedRun, Wing

if TYPE_CHECKING:
    from r2mae.evaluation.probe import ProbeTask

PROBES: "tuple[ProbeTask, ...]" = ("knn", "linear_probe")
Row = dict[str, Any]  # of `probe_encoders`


def add_arguments(parser: ArgumentParser) -> None:
    """`RUN` and the options of probes; those of other tasks come from the run's wing."""
    add_run(parser)
    parser.add_argument(
        "--labels-per-class",
        type=label_counts,
        default=[None],
        metavar="N,N,...",
        help="train on N labels per class, or all (default); one row for each number",
    )
    data = (
        "use the labelled samples of this fine-tuning recipe, instead of the run's data"
    )
    parser.add_argument("--data", metavar="RECIPE", help=data)
    label = "column of labels, instead of the recipe's data.label_column"
    parser.add_argument("--label", metavar="COLUMN", help=label)
    draws = "random draws of the labels for each number of labels; default 10"
    parser.add_argument("--draws", type=positive, default=10, metavar="N", help=draws)
    baselines = "also score the untrained encoder and simple input features"
    parser.add_argument("--baselines", action="store_true", help=baselines)


def add_run_arguments(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """`--task`, with the tasks that the named run has, and their options."""
    wing = wing_of_run(argv)
    tasks = (*PROBES, *(wing.tasks if wing else ()))
    hint = "" if wing else "; name a RUN to see the tasks of its modality"
    # Without choices: `run` refuses other tasks by naming the modality.
    text = f"one of {', '.join(tasks)}{hint}"
    parser.add_argument("--task", required=True, metavar="TASK", help=text)
    if wing is None:
        return
    for name in _tasks_with_options(wing, argv):
        task = wing.tasks[name]
        group: Any = parser.add_argument_group(f"--task {name}", task.help)
        task.add_arguments(group)


def _tasks_with_options(wing: Wing, argv: Sequence[str]) -> list[str]:
    """Tasks whose options are parsed: the one that is named; all of them for --help."""
    if {"-h", "--help"} & set(argv):
        return list(wing.tasks)
    arguments = {argument.removeprefix("--task=") for argument in argv}
    return [name for name in wing.tasks if name in arguments]


def run(arguments: Namespace) -> None:
    """Score, and print a table or JSON."""
    from r2mae.recipe.run import load_run

    loaded, name = (
        load_run(arguments.run, arguments.checkpoint, arguments.weights),
        arguments.task,
    )
    tasks = (*PROBES, *loaded.wing.tasks)
    if name not in tasks:
        raise InputError(
            f"--task must be one of {', '.join(tasks)} for runs on "
            f"{loaded.recipe.modality}, got {name!r}."
        )
    recipe = _recipe(loaded, arguments)
    about = {
        "run": arguments.run,
        "checkpoint_step": loaded.manifest["step"],
        "weights": arguments.weights,
        "task": name,
    }
    if name in loaded.wing.tasks:
        task = loaded.wing.tasks[name]
        result = task.run(loaded, recipe, arguments)
        return (
            print(json.dumps(about | result)) if arguments.json else task.show(result)
        )
    rows = _probe(loaded, recipe, arguments)
    if not arguments.json:
        return print_scores(rows)
    return print(json.dumps(about | {"split": "test"} | _plain(rows, name)))


def _probe(loaded: LoadedRun, recipe: Any, arguments: Namespace) -> list[Row]:
    from r2mae.evaluation.probe_encoders import ProbePlan, probe_encoders

    plan = ProbePlan(
        tasks=(arguments.task,),
        labels_per_class=tuple(arguments.labels_per_class),
        draws=arguments.draws,
        baselines=arguments.baselines,
    )
    return probe_encoders(loaded, recipe, plan)


def _plain(rows: list[Row], task: str) -> dict[str, Any]:
    """Rows of one task without nesting by task; a single row is not put in a list."""
    plain = []
    for row in rows:
        parts = {}
        for part in ("scores", "differences"):
            parts[part] = {name: tasks[task] for name, tasks in row[part].items()}
        plain.append(row | parts)
    if len(plain) == 1:
        return plain[0]
    counts = [row["labels_per_class"] for row in rows]
    return {"labels_per_class": counts, "rows": plain}


def _recipe(loaded: LoadedRun, arguments: Namespace) -> Any:
    """The recipe whose data is scored: the run's, or that of --data, with the labels of --label."""
    recipe = loaded.recipe
    if arguments.data is not None:
        recipe = _other_data(loaded, arguments.data)
    if arguments.label is None or not hasattr(recipe.data, "label_column"):
        return recipe
    data = recipe.data.model_copy(update={"label_column": arguments.label})
    return recipe.model_copy(update={"data": data})


def _other_data(loaded: LoadedRun, path: str) -> Any:
    """A fine-tuning recipe, read with the run's tokenizer or genes."""
    from r2mae.recipe.load import load_recipe

    recipe = load_recipe(path, [], task="finetune")
    if recipe.modality != loaded.recipe.modality:
        raise InputError(
            f"--data must be a recipe on {loaded.recipe.modality}, as the run is, "
            f"got {recipe.modality}."
        )
    loaded.wing.check_same_input(loaded, recipe)
    model = recipe.model.model_copy(update={"init_from": None})
    recipe = recipe.model_copy(update={"model": model})
    return loaded.wing.with_checkpoint_facts(recipe, loaded.manifest)


def print_scores(rows: list[Row]) -> None:
    """A table with a line for each number of labels and task."""
    columns = [*rows[0]["scores"], *rows[0]["differences"]]
    print("test accuracy ± 95 % interval; differences are paired")
    table = [["labels per class", "task", *columns, "interval over"]]
    for row in rows:
        cells = row["scores"] | row["differences"]
        for task, score in row["scores"]["pretrained"].items():
            is_over_draws = score["over"] == "draws"
            over = f"{score['draws']} draws" if is_over_draws else "test items"
            numbers = [_format_score(cells[name][task]) for name in columns]
            table.append([str(row["labels_per_class"]), task, *numbers, over])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        pairs = zip(line, widths, strict=True)
        print("  ".join(f"{text:<{width}}" for text, width in pairs).rstrip())


def _format_score(score: dict[str, Any]) -> str:
    is_difference = "difference" in score
    number = (
        format(score["difference"], "+.3f")
        if is_difference
        else format(score["accuracy"], ".3f")
    )
    return (
        number
        if score["half_width"] is None
        else f"{number} ± {score['half_width']:.3f}"
    )
