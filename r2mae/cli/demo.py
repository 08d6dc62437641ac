"""`r2mae demo`: pretrain a demo recipe in about a minute, and evaluate its features."""

import json
from argparse import ArgumentParser, Namespace
from typing import Any

from r2mae.cli.arguments import add_set, add_training
from r2mae.cli.evaluate import print_scores
from r2mae.cli.pretrain import pretrain
from r2mae.data.atomic import write_atomic
from r2mae.schema.launch import read_launch
from r2mae.wing import LoadedRun, Task

LABELS_PER_CLASS = 10
DRAWS = 10
HIDDEN = (0.0, 0.5)  # shares of each test sample
RESULT_FILE = "demo.json"


def add_arguments(parser: ArgumentParser) -> None:
    """`RECIPE`, by default digits_demo."""
    text = "a recipe file, or a name that r2mae recipe list shows; default digits_demo"
    parser.add_argument(
        "recipe", nargs="?", default="digits_demo", metavar="RECIPE", help=text
    )
    add_set(parser)
    add_training(parser)


def run(arguments: Namespace) -> None:
    """Pretrain a recipe, evaluate it, print the result in sentences, and write demo.json."""
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
    file = loaded.folder.path / RESULT_FILE
    write_atomic(file, json.dumps(result, indent=1) + "\n")
    if arguments.json:
        print(json.dumps(result))
        return
    pictures = loaded.folder.path / "pictures"
    shown = f"; reconstructions: {pictures}/" if pictures.is_dir() else ""
    print(f"all numbers: {file}; curves: {loaded.folder.path}/metrics.csv{shown}")
    print(f"next: r2mae evaluate {trained['run']} --help; r2mae recipe list")


def _probe(loaded: LoadedRun, arguments: Namespace) -> dict[str, Any]:
    """kNN and linear probe with few labels, compared with baselines."""
    from r2mae.evaluation.probe_encoders import ProbePlan, probe_encoders

    plan = ProbePlan(
        ("knn", "linear_probe"),
        (LABELS_PER_CLASS,),
        DRAWS,
        baselines=True,
        hidden=HIDDEN,
    )
    rows = probe_encoders(loaded, loaded.recipe, plan)
    if not arguments.json:
        print_scores(rows)
        for row in rows:
            print(conclude(row))
    return {"rows": rows}


def conclude(row: dict[str, Any]) -> str:
    """What kNN shows, in one sentence."""
    own = row["scores"]["pretrained"]["knn"]["accuracy"]
    part = f", {row['hidden']:.0%} of each test sample hidden" if row["hidden"] else ""
    parts = []
    for pair, tasks in row["differences"].items():
        gain = tasks["knn"]
        number = f"{gain['difference']:+.3f} ± {gain['half_width']:.3f}"
        parts.append(f"{_verdict(gain)} {pair.partition(' - ')[2]} ({number})")
    return (
        f"kNN with {LABELS_PER_CLASS} labels per class{part}: {own:.1%} with pretrained "
        f"features, {', '.join(parts)}."
    )


def _verdict(gain: dict[str, Any]) -> str:
    if abs(gain["difference"]) <= gain["half_width"]:
        return "level with"
    return "better than" if gain["difference"] > 0 else "worse than"


def _show(task: Task, loaded: LoadedRun, arguments: Namespace) -> dict[str, Any]:
    """The demo task of the modality, with its default options."""
    parser = ArgumentParser()
    task.add_arguments(parser)
    result = task.run(loaded, loaded.recipe, parser.parse_args([]))
    if not arguments.json:
        task.show(result)
        if sentence := task.conclude(result):
            print(sentence)
    return result
