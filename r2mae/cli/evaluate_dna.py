"""`r2mae evaluate --task masked` of runs on DNA: hidden bases against counted contexts."""

import argparse
import json
from typing import Any

from r2mae.cli.reconstruct import parse_ratios
from r2mae.cli.show import show
from r2mae.errors import InputError


def masked(loaded: Any, recipe: Any, arguments: argparse.Namespace) -> None:
    """Score and print."""
    scores = score(loaded, recipe, parse_ratios(arguments.ratios))
    if arguments.json:
        about = {"run": arguments.run, "checkpoint_step": loaded.manifest["step"], "task": "masked", "split": "test"}
        print(json.dumps(about | {"scores": scores}))
        return
    print_scores(scores)


def score(loaded: Any, recipe: Any, ratios: list[float]) -> list[dict[str, Any]]:
    """A row a ratio, on the test split: what the recipe names, or what was held out of training."""
    from r2mae.evaluation.masked_bases import score_bases
    from r2mae.recipe import open_split, open_training_data

    if recipe.task != "pretrain":
        raise InputError(f"--task masked must be asked of a pretraining run, got {loaded.folder.name}.")
    train, test = open_training_data(recipe)[0], open_split(recipe, "test")
    progress, counting, kmer = show("masked", "windows"), show("contexts", "windows"), recipe.model.kmer
    found = score_bases(loaded.model, train, test, ratios, kmer=kmer, progress=progress, counting=counting)
    return [row.to_dict() for row in found]


def print_scores(scores: list[dict[str, Any]]) -> None:
    """A line a ratio."""
    print("nats a hidden base   run  contexts of 4 + 4  bases alone   run - contexts   accuracy")
    for row in scores:
        half = "" if row["half_width"] is None else f" ± {row['half_width']:.4f}"
        print(
            f"{row['ratio']:5.2f} {row['bases']:10,}  {row['loss']:.4f}  {row['count_loss']:15.4f}"
            f"  {row['order_0_loss']:11.4f}   {row['difference']:+.4f}{half:<9}  {row['accuracy']:8.3f}"
        )
