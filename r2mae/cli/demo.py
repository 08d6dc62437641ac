"""`r2mae demo`: pretrain a demo recipe in about a minute, and compare its features with baselines."""

import json
from argparse import ArgumentParser, Namespace
from typing import Any

from r2mae.cli.arguments import add_set, add_training
from r2mae.cli.evaluate import PROBES, print_scores
from r2mae.cli.pretrain import pretrain
from r2mae.schema.launch import read_launch
from r2mae.wing import LoadedRun, Task

LABELS_PER_CLASS = 10
DRAWS = 10


def add_arguments(parser: ArgumentParser) -> None:
    """`RECIPE`, by default digits_demo."""
    text = "a recipe file, or a name that r2mae recipe list shows; default digits_demo"
    parser.add_argument(
        "recipe", nargs="?", default="digits_demo", metavar="RECIPE", help=text
    )
    add_set(parser)
    add_training(parser)


def run(arguments: Namespace) -> None:
    """Pretrain a recipe; last line `demo: {json}`."""
    trained = pretrain(arguments)
    if not read_launch().is_first:
        return
    from r2mae.recipe.run import load_run

    loaded = load_run(trained["run"])
    result = {"run": trained["run"], "training_seconds": trained["seconds"]}
    demo = loaded.wing.demo
    result |= (
        _probe(loaded, arguments) if demo is None else _show(demo, loaded, arguments)
    )
    print(json.dumps(result) if arguments.json else f"demo: {json.dumps(result)}")


def _probe(loaded: LoadedRun, arguments: Namespace) -> dict[str, Any]:
    """kNN and linear probe with few labels, compared with baselines."""
    from r2mae.evaluation.probe_encoders import ProbePlan, probe_encoders

    plan = ProbePlan(PROBES, (LABELS_PER_CLASS,), DRAWS, baselines=True)
    (row,) = probe_encoders(loaded, loaded.recipe, plan)
    if not arguments.json:
        print_scores([row])
        folder = loaded.folder.path
        print(
            f"training curves: {folder}/metrics.csv; pictures, if any: {folder}/pictures/"
        )
    return row


def _show(task: Task, loaded: LoadedRun, arguments: Namespace) -> dict[str, Any]:
    """The demo task of the modality, with its default options."""
    parser = ArgumentParser()
    task.add_arguments(parser)
    result = task.run(loaded, loaded.recipe, parser.parse_args([]))
    if not arguments.json:
        task.show(result)
    return result
