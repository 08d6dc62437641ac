"""`r2mae demo`: the whole way on real data in a minute: pretrain, probe with few labels, compare."""

import argparse
import json
from typing import Any

from r2mae.cli import evaluate_dna, evaluate_texts
from r2mae.cli.evaluate import print_scores, score
from r2mae.cli.pretrain import pretrain
from r2mae.schema.launch import read_launch

LABELS_PER_CLASS = 10
DRAWS = 10


def run(arguments: argparse.Namespace) -> None:
    """Pretrain a recipe; last line `demo: {json}`."""
    trained = pretrain(arguments)
    if not read_launch().is_first:
        return
    from r2mae.recipe.run import load_run

    run = load_run(trained["run"])
    if run.recipe.modality == "language":
        _print_texts(arguments, trained, evaluate_texts.score(run, run.recipe, [0.15, 0.3, 0.5]))
        return
    if run.recipe.modality == "dna":
        evaluate_dna.demo(run, trained, arguments)
        return
    (row,) = score(run, run.recipe, ["knn", "linear_probe"], [LABELS_PER_CLASS], DRAWS, baselines=True)
    if not arguments.json:
        print_scores([row])
        print(f"numbers over training, and pictures where data has some: {trained['run']}/metrics.csv, pictures/")
    result = {
        "run": trained["run"],
        "training_seconds": trained["seconds"],
        **row,
    }
    print(json.dumps(result) if arguments.json else f"demo: {json.dumps(result)}")


def _print_texts(arguments: argparse.Namespace, trained: dict[str, Any], scores: list[dict[str, Any]]) -> None:
    """Texts have no labels: hidden tokens of rows that were held out, against answering by frequency."""
    if not arguments.json:
        evaluate_texts.print_scores(scores)
    result = {"run": trained["run"], "training_seconds": trained["seconds"], "scores": scores}
    print(json.dumps(result) if arguments.json else f"demo: {json.dumps(result)}")
