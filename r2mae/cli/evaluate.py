"""`r2mae evaluate`: probes of a run's frozen features, and tasks of its modality, on the test split."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from r2mae.cli.arguments import add_inference, add_read_out, add_run, wing_of_run
from r2mae.cli.inference import chosen_inference
from r2mae.cli.probe_table import Row, print_scores
from r2mae.cli.read_out import find_read_out, show_read_out
from r2mae.cli.training_data import warn_of_changed_data
from r2mae.errors import InputError
from r2mae.json_text import json_text
from r2mae.loaded_run import LoadedRun
from r2mae.modalities import TASKS
from r2mae.options import comma_separated, label_counts, positive, shares
from r2mae.wing import Wing

PROBES = ("knn", "linear_probe", "attentive_probe")


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
    hidden = "probe with these shares of each test sample hidden; default 0"
    parser.add_argument(
        "--hidden", type=shares, default=(0.0,), metavar="P,P,...", help=hidden
    )
    copies = (
        "in rows with a share hidden, train probes on the training samples twice: "
        "complete, and with the same share hidden"
    )
    parser.add_argument("--hide-in-training", action="store_true", help=copies)
    add_read_out(parser)
    add_inference(parser)
    baselines = "also score the untrained encoder and simple input features"
    parser.add_argument("--baselines", action="store_true", help=baselines)


def add_run_arguments(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """`--task`, with the tasks that the named run has, and their options."""
    wing = wing_of_run(argv)
    # Without choices: `run` refuses other tasks by naming the modality.
    text = f"comma-separated: {', '.join((*PROBES, *(wing.tasks if wing else ())))}"
    if wing is None:
        of_wings = [f"{name}: {', '.join(TASKS[name]) or 'none'}" for name in TASKS]
        text += (
            f"; for runs on {'; on '.join(of_wings)}. RUN --help has the options of "
            "the tasks of a run, and those that other packages add"
        )
    parser.add_argument(
        "--task",
        required=True,
        action="extend",
        type=comma_separated,
        metavar="TASK,...",
        help=text,
    )
    if wing is None:
        return
    for name in _tasks_with_options(wing, argv):
        task = wing.tasks[name]
        group: Any = parser.add_argument_group(f"--task {name}", task.help)
        task.add_arguments(group)


def _tasks_with_options(wing: Wing, argv: Sequence[str]) -> list[str]:
    """Tasks whose options are parsed: those that --task names; all of them for --help."""
    if {"-h", "--help"} & set(argv):
        return list(wing.tasks)
    values = ",".join(argument.removeprefix("--task=") for argument in argv)
    named = {name.strip() for name in values.split(",")}
    return [name for name in wing.tasks if name in named]


def run(arguments: Namespace) -> None:
    """Score, and print tables or JSON."""
    from r2mae.recipe.run import load_run

    loaded = load_run(arguments.run, arguments.checkpoint, arguments.weights)
    tasks = list(dict.fromkeys(arguments.task))
    _check_names(tasks, loaded)
    _check_read_out(tasks, loaded, arguments)
    _check_hiding(tasks, arguments)
    recipe = _recipe(loaded, arguments)
    for name in tasks:
        if name not in PROBES:
            loaded.wing.tasks[name].check(recipe, arguments)
    is_own = _reads_own_data(tasks, loaded, arguments)
    has_changed = is_own and warn_of_changed_data(loaded)
    with chosen_inference(loaded, arguments):
        about, results = _score(loaded, recipe, arguments, tasks)
    about |= {"data_changed": True} if has_changed else {}
    if arguments.json:
        _print_json(loaded, arguments, about, results)


def _reads_own_data(tasks: list[str], loaded: LoadedRun, arguments: Namespace) -> bool:
    """Whether one of the tasks reads the splits of the run's data."""
    of_wing = loaded.wing.tasks
    return arguments.data is None and any(
        name in PROBES or of_wing[name].reads_splits for name in tasks
    )


def _score(
    loaded: LoadedRun, recipe: Any, arguments: Namespace, tasks: list[str]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """(what differs from the default read-out, the result of each task); prints tables without --json."""
    loaded, about = find_read_out(loaded, recipe, arguments, tasks)
    if not arguments.json:
        show_read_out(about)
    results: dict[str, dict[str, Any]] = {}
    probes: Any = [name for name in tasks if name in PROBES]
    rows = _probe(loaded, recipe, arguments, probes) if probes else []
    if rows and not arguments.json:
        print_scores(rows)
    for name in tasks:
        if name in PROBES:
            results[name] = {"split": "test"} | _plain(rows, name)
            continue
        task = loaded.wing.tasks[name]
        results[name] = task.run(loaded, recipe, arguments)
        if not arguments.json:
            task.show(results[name])
    return about, results


def _check_names(tasks: list[str], loaded: LoadedRun) -> None:
    """Raise InputError for a task that the run's modality lacks."""
    possible = (*PROBES, *loaded.wing.tasks)
    for name in tasks:
        if name not in possible:
            raise InputError(
                f"--task must be one of {', '.join(possible)} for runs on "
                f"{loaded.recipe.modality}, got {name!r}."
            )


def _check_read_out(tasks: list[str], loaded: LoadedRun, arguments: Namespace) -> None:
    """Raise InputError for --layer or --pool with a task that reads no features."""
    if arguments.layer == "last" and arguments.pool is None:
        return
    of_wing = [name for name, task in loaded.wing.tasks.items() if task.reads_features]
    readers = (*PROBES, *of_wing)
    for name in tasks:
        if name not in readers:
            raise InputError(
                "--layer and --pool must be given with tasks that read features "
                f"({', '.join(readers)}), got {name}. Run it without them."
            )
    if arguments.pool is not None and set(tasks) == {"attentive_probe"}:
        raise InputError(
            "--pool must be given with tasks that read pooled features, got "
            f"attentive_probe, which reads tokens, and --pool {arguments.pool}. Leave it out."
        )


def _check_hiding(tasks: list[str], arguments: Namespace) -> None:
    """Raise InputError for hidden input without a probe, or copies without a hidden share."""
    if arguments.hide_in_training and not any(arguments.hidden):
        raise InputError(
            "--hide-in-training must be given with a share of --hidden above 0, got "
            f"--hidden {','.join(map(str, arguments.hidden))}. Add --hidden 0.5, say."
        )
    if any(arguments.hidden) and not set(tasks) & set(PROBES):
        raise InputError(
            f"--hidden must be given with a probe ({', '.join(PROBES)}), got --task "
            f"{','.join(tasks)}. Leave it out, or add a probe."
        )


def _print_json(
    loaded: LoadedRun,
    arguments: Namespace,
    read_out: dict[str, Any],
    results: dict[str, dict[str, Any]],
) -> None:
    """One document; the result of a single task is not nested in `tasks`."""
    about = {
        "run": arguments.run,
        "checkpoint_step": loaded.manifest["step"],
        "weights": arguments.weights,
    } | read_out
    if len(results) > 1:
        print(json_text(about | {"tasks": results}))
        return
    ((name, result),) = results.items()
    print(json_text(about | {"task": name} | result))


def _probe(
    loaded: LoadedRun, recipe: Any, arguments: Namespace, tasks: list[Any]
) -> list[Row]:
    from r2mae.evaluation.probe_encoders import ProbePlan, probe_encoders

    if recipe.task == "finetune" and recipe.tune.target.name == "multi_label":
        raise InputError(
            f"--task {','.join(tasks)} must have one class for each sample, got data "
            "with tune.target multi_label. Name other data by --data; r2mae finetune scores it."
        )
    plan = ProbePlan(
        tasks=tuple(tasks),
        labels_per_class=tuple(arguments.labels_per_class),
        draws=arguments.draws,
        baselines=arguments.baselines,
        hidden=arguments.hidden,
        hide_in_training=arguments.hide_in_training,
    )
    return probe_encoders(loaded, recipe, plan)


def _plain(rows: list[Row], task: str) -> dict[str, Any]:
    """Rows of one task without nesting by task; a single row is not put in a list."""
    plain = []
    for row in rows:
        parts = {}
        for part in ("scores", "differences"):
            parts[part] = {
                name: tasks[task] for name, tasks in row[part].items() if task in tasks
            }
        plain.append(row | parts)
    if len(plain) == 1:
        return plain[0]
    counts = [row["labels_per_class"] for row in rows]
    return {"labels_per_class": counts, "rows": plain}


def _recipe(loaded: LoadedRun, arguments: Namespace) -> Any:
    """The recipe whose data is scored: the run's, or that of --data, with the labels of --label."""
    from r2mae.recipe.labels import with_label_column

    recipe = loaded.recipe
    if arguments.data is not None:
        recipe = _other_data(loaded, arguments.data)
    return with_label_column(recipe, arguments.label)


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
